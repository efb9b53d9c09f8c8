-- Question: how many schools of each state started or stopped having students between one loaded year and the next?
-- Result:   year (fall), previous_year (the loaded year before it), state (name), schools_before and schools_after
--           (with at least one student in previous_year and in year), opened (students in year, none before), closed
--           (students before, none in year), not_known (students in one of the two, not reported in the other).
--           schools_after = schools_before + opened - closed, except for the schools counted in not_known.
-- Leaves out: grades that are loaded in only one of the two years, because a school would seem to open or close with
--   them. Enrollments are compared with 0 and never added up, so the total grade-99 does no harm here. A school is
--   identified by its ncessch: one whose number changes closes and opens. If few grades are loaded, the result covers
--   only those grades.
-- Needs:    ccd_enrollment, at least two years with a grade in common.
with loaded as (
    select distinct
        year,
        grade
    from ccd_school.us_education_ccd_enrollment_data
),
loaded_years as (
    select distinct year
    from loaded
),
consecutive as (
    select
        year,
        lag(year) over (order by year) as previous_year
    from loaded_years
),
pairs as (
    select
        c.year,
        c.previous_year,
        a.grade
    from consecutive c
    inner join loaded a on a.year = c.year
    inner join loaded b on b.year = c.previous_year and b.grade = a.grade
),
schools_after as (
    select
        p.year,
        p.previous_year,
        e.ncessch,
        min(e.fips) as fips,
        max(case when e.enrollment > 0 then 1 else 0 end) as has_students,
        max(case when e.enrollment is null or e.enrollment in (-1, -3) then 1 else 0 end) as not_reported
    from pairs p
    inner join ccd_school.us_education_ccd_enrollment_data e on e.year = p.year and e.grade = p.grade
    group by p.year, p.previous_year, e.ncessch
),
schools_before as (
    select
        p.year,
        p.previous_year,
        e.ncessch,
        min(e.fips) as fips,
        max(case when e.enrollment > 0 then 1 else 0 end) as has_students,
        max(case when e.enrollment is null or e.enrollment in (-1, -3) then 1 else 0 end) as not_reported
    from pairs p
    inner join ccd_school.us_education_ccd_enrollment_data e on e.year = p.previous_year and e.grade = p.grade
    group by p.year, p.previous_year, e.ncessch
),
-- 2: has students, 1: not reported, 0: none
compared as (
    select
        coalesce(a.year, b.year) as year,
        coalesce(a.previous_year, b.previous_year) as previous_year,
        coalesce(a.fips, b.fips) as fips,
        case when b.has_students = 1 then 2 when b.not_reported = 1 then 1 else 0 end as status_before,
        case when a.has_students = 1 then 2 when a.not_reported = 1 then 1 else 0 end as status_after
    from schools_after a
    full outer join schools_before b on b.year = a.year and b.ncessch = a.ncessch
),
by_state as (
    select
        year,
        previous_year,
        fips,
        sum(case when status_before = 2 then 1 else 0 end) as schools_before,
        sum(case when status_after = 2 then 1 else 0 end) as schools_after,
        sum(case when status_before = 0 and status_after = 2 then 1 else 0 end) as opened,
        sum(case when status_before = 2 and status_after = 0 then 1 else 0 end) as closed,
        sum(case when status_before + status_after = 3 then 1 else 0 end) as not_known
    from compared
    group by year, previous_year, fips
)
select
    c.year,
    c.previous_year,
    coalesce(s.label, cast(c.fips as varchar)) as state,
    c.schools_before,
    c.schools_after,
    c.opened,
    c.closed,
    c.not_known
from by_state c
left join ccd_school.lookup_states s on s.code = c.fips
order by c.year, state, c.fips
