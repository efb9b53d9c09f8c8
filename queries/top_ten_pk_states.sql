-- Question: which ten states had the most pre-kindergarten students in the school year 2021-22?
-- Result:   rnk (1 is the largest, and ties share a rank), state (name), total_enrollments (students).
-- Leaves out: negative enrollments, which are codes (-1 missing or not reported, -2 not applicable, -3 suppressed), and
--   null enrollments. A state that reports no pre-kindergarten to the Common Core of Data, such as California, does not
--   appear.
-- Needs:    ccd_enrollment, year 2021, grade-pk.
with enrollments_by_state as (
    select
        fips,
        sum(enrollment) as total_enrollments,
        rank() over (order by sum(enrollment) desc) as rnk
    from ccd_school.us_education_ccd_enrollment_data
    where year = 2021
        and grade = 'grade-pk'
        and enrollment >= 0
    group by fips
)
select
    e.rnk,
    coalesce(s.label, cast(e.fips as varchar)) as state,
    e.total_enrollments
from enrollments_by_state e
left join ccd_school.lookup_states s on s.code = e.fips
where e.rnk <= 10
order by rnk, state
