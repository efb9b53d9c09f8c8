-- Question: do the single grades of a state add up to its total grade-99?
-- Result:   year (fall), state (name), grades (number of single grades loaded and reported), students_of_grades (their
--           sum), students_of_total (grade-99), difference (students_of_total - students_of_grades), difference_pct (as
--           a percentage of students_of_total, one decimal, null if that is 0).
-- Leaves out: years and states without a reported grade-99, or without any other grade. Negative enrollments, which are
--   codes, and null enrollments. If only some grades are loaded, the difference includes the missing grades.
-- Needs:    ccd_enrollment, grade-99 and single grades of the same year.
with by_state as (
    select
        year,
        fips,
        count(distinct case when grade <> 'grade-99' then grade end) as grades,
        sum(case when grade <> 'grade-99' then enrollment end) as students_of_grades,
        sum(case when grade = 'grade-99' then enrollment end) as students_of_total
    from ccd_school.us_education_ccd_enrollment_data
    where enrollment >= 0
    group by year, fips
)
select
    b.year,
    coalesce(s.label, cast(b.fips as varchar)) as state,
    b.grades,
    b.students_of_grades,
    b.students_of_total,
    b.students_of_total - b.students_of_grades as difference,
    round(
        100 * cast(b.students_of_total - b.students_of_grades as double)
            / cast(nullif(b.students_of_total, 0) as double),
        1
    ) as difference_pct
from by_state b
left join ccd_school.lookup_states s on s.code = b.fips
where b.students_of_grades is not null
    and b.students_of_total is not null
order by b.year, state, b.fips
