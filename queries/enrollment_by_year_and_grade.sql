-- Question: how many students, and in how many schools, are there in each loaded year and grade?
-- Result:   year (fall), grade (label), schools (with at least one student), students, schools_not_reported (rows whose
--           enrollment is missing, suppressed or null). One row per loaded partition. The total of all grades, if
--           loaded, is the row "Total".
-- Leaves out: from students, negative enrollments, which are codes, and null enrollments. Rows coded -2 (not
--   applicable) count neither as schools nor as not reported.
-- Needs:    ccd_enrollment.
with by_partition as (
    select
        year,
        grade as grade_value,
        sum(case when enrollment > 0 then 1 else 0 end) as schools,
        sum(case when enrollment >= 0 then enrollment else 0 end) as students,
        sum(case when enrollment is null or enrollment in (-1, -3) then 1 else 0 end) as schools_not_reported
    from ccd_school.us_education_ccd_enrollment_data
    group by year, grade
)
select
    p.year,
    coalesce(g.label, p.grade_value) as grade,
    p.schools,
    p.students,
    p.schools_not_reported
from by_partition p
left join ccd_school.lookup_grades g on g.grade = p.grade_value
order by p.year, coalesce(g.code, 1000), p.grade_value
