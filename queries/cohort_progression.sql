-- Question: how large is each state's grade a year later, when its students should be one grade on?
-- Result:   state (name), year (fall), from_grade and to_grade (labels), students (of from_grade in year),
--           students_next_year (of to_grade in the next year), progression_pct (students_next_year as a percentage of
--           students, one decimal, null if students is 0). 100 means a cohort of the same size, not of the same
--           children: some move, repeat a grade or leave.
-- Leaves out: pre-kindergarten, which does not lead to kindergarten everywhere. Grade 13, adult education, ungraded and
--   the total, which have no next grade. Negative enrollments, which are codes, and null enrollments. Years and grades
--   whose successor is not loaded produce no row.
-- Needs:    ccd_enrollment, at least two consecutive years with adjacent grades.
with by_grade as (
    select
        e.year,
        e.fips,
        g.code as grade_code,
        g.label as grade_label,
        sum(e.enrollment) as students
    from ccd_school.us_education_ccd_enrollment_data e
    inner join ccd_school.lookup_grades g on g.grade = e.grade
    where e.grade not in ('grade-pk', 'grade-13', 'grade-14', 'grade-15', 'grade-99')
        and e.enrollment >= 0
    group by e.year, e.fips, g.code, g.label
)
select
    coalesce(s.label, cast(a.fips as varchar)) as state,
    a.year,
    a.grade_label as from_grade,
    b.grade_label as to_grade,
    a.students,
    b.students as students_next_year,
    round(100 * cast(b.students as double) / cast(nullif(a.students, 0) as double), 1) as progression_pct
from by_grade a
inner join by_grade b on b.fips = a.fips and b.year = a.year + 1 and b.grade_code = a.grade_code + 1
left join ccd_school.lookup_states s on s.code = a.fips
order by state, a.fips, a.year, a.grade_code
