-- Question: which 25 districts have the most students in each loaded year?
-- Result:   year (fall), rnk (1 is the largest, and ties share a rank, so there may be more than 25), leaid (7 digits),
--           state (name), schools (with at least one student), students, grades (number of grades loaded and reported:
--           two years are comparable only if their numbers are equal).
-- Leaves out: the total grade-99, which would count every student twice. Negative enrollments, which are codes, and
--   null enrollments. Rows without a district. District names are in ccd_directory.
-- Needs:    ccd_enrollment, grades other than grade-99.
with by_district as (
    select
        year,
        leaid,
        min(fips) as fips,
        count(distinct case when enrollment > 0 then ncessch end) as schools,
        sum(enrollment) as students,
        count(distinct grade) as grades
    from ccd_school.us_education_ccd_enrollment_data
    where grade <> 'grade-99'
        and enrollment >= 0
        and leaid is not null
    group by year, leaid
),
ranked as (
    select
        year,
        leaid,
        fips,
        schools,
        students,
        grades,
        rank() over (partition by year order by students desc) as rnk
    from by_district
)
select
    r.year,
    r.rnk,
    r.leaid,
    coalesce(s.label, cast(r.fips as varchar)) as state,
    r.schools,
    r.students,
    r.grades
from ranked r
left join ccd_school.lookup_states s on s.code = r.fips
where r.rnk <= 25
order by r.year, rnk, r.leaid
