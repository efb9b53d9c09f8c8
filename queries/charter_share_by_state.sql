-- Question: what share of each state's students attends charter schools, in each loaded year?
-- Result:   year (fall), state (name), schools (with at least one student), charter_schools, students,
--           charter_students, students_status_unknown (in schools whose charter status is a code or null),
--           charter_share_pct (as a percentage of the students in schools with a known status, one decimal, null if
--           there are none), grades (number of grades loaded and reported: two years are comparable only if their
--           numbers are equal).
-- Leaves out: the total grade-99, which would count every student twice. Negative enrollments, which are codes, and
--   null enrollments. Schools that are not in the directory of the same year.
-- Needs:    ccd_enrollment, grades other than grade-99, and ccd_directory for the same years.
with students_by_grade as (
    select
        e.year,
        e.grade,
        e.fips,
        e.ncessch,
        e.enrollment,
        case when d.charter in (0, 1) then d.charter end as charter
    from ccd_school.us_education_ccd_enrollment_data e
    inner join ccd_school.us_education_ccd_directory_data d on d.year = e.year and d.ncessch = e.ncessch
    where e.grade <> 'grade-99'
        and e.enrollment >= 0
),
by_state as (
    select
        year,
        fips,
        count(distinct case when enrollment > 0 then ncessch end) as schools,
        count(distinct case when enrollment > 0 and charter = 1 then ncessch end) as charter_schools,
        sum(enrollment) as students,
        sum(case when charter = 1 then enrollment else 0 end) as charter_students,
        sum(case when charter is null then enrollment else 0 end) as students_status_unknown,
        count(distinct grade) as grades
    from students_by_grade
    group by year, fips
)
select
    b.year,
    coalesce(s.label, cast(b.fips as varchar)) as state,
    b.schools,
    b.charter_schools,
    b.students,
    b.charter_students,
    b.students_status_unknown,
    round(
        100 * cast(b.charter_students as double)
            / cast(nullif(b.students - b.students_status_unknown, 0) as double),
        1
    ) as charter_share_pct,
    b.grades
from by_state b
left join ccd_school.lookup_states s on s.code = b.fips
order by b.year, state, b.fips
