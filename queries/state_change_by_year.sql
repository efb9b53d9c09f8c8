-- Question: how did the number of students in each state and grade change from one loaded year to the next?
-- Result:   state (name), grade (label), year (fall), students, previous_year (the last earlier loaded year in which
--           the state reported the grade, not always the year before), previous_students, change (in students),
--           change_pct (as a percentage of previous_students, one decimal, null if that is 0). The first year of each
--           state and grade has no previous values.
-- Leaves out: negative enrollments, which are codes, and null enrollments. A change may therefore come from schools
--   that started or stopped reporting. The total of all grades, if loaded, is a separate grade ("Total").
-- Needs:    ccd_enrollment, at least two years to show a change.
with by_state as (
    select
        fips,
        grade as grade_value,
        year,
        sum(enrollment) as students
    from ccd_school.us_education_ccd_enrollment_data
    where enrollment >= 0
    group by fips, grade, year
),
with_previous as (
    select
        fips,
        grade_value,
        year,
        students,
        lag(year) over (partition by fips, grade_value order by year) as previous_year,
        lag(students) over (partition by fips, grade_value order by year) as previous_students
    from by_state
)
select
    coalesce(s.label, cast(w.fips as varchar)) as state,
    coalesce(g.label, w.grade_value) as grade,
    w.year,
    w.students,
    w.previous_year,
    w.previous_students,
    w.students - w.previous_students as change,
    round(100 * cast(w.students - w.previous_students as double) / cast(nullif(w.previous_students, 0) as double), 1)
        as change_pct
from with_previous w
left join ccd_school.lookup_states s on s.code = w.fips
left join ccd_school.lookup_grades g on g.grade = w.grade_value
order by state, w.fips, coalesce(g.code, 1000), w.grade_value, w.year
