-- Question: how much of each state's enrollment is a code or null, by year?
-- Result:   year (fall), state (name), school_grades (rows: one per school and loaded grade), reported (rows of 0 or
--           more), missing (rows of -1), not_applicable (-2), suppressed (-3), other_negative (any other negative
--           value), not_given (null), reported_pct (reported as a percentage of school_grades, one decimal).
-- Leaves out: nothing. The total grade-99, if loaded, counts as a grade.
-- Needs:    ccd_enrollment.
with by_state as (
    select
        year,
        fips,
        count(*) as school_grades,
        sum(case when enrollment >= 0 then 1 else 0 end) as reported,
        sum(case when enrollment = -1 then 1 else 0 end) as missing,
        sum(case when enrollment = -2 then 1 else 0 end) as not_applicable,
        sum(case when enrollment = -3 then 1 else 0 end) as suppressed,
        sum(case when enrollment < -3 then 1 else 0 end) as other_negative,
        sum(case when enrollment is null then 1 else 0 end) as not_given
    from ccd_school.us_education_ccd_enrollment_data
    group by year, fips
)
select
    b.year,
    coalesce(s.label, cast(b.fips as varchar)) as state,
    b.school_grades,
    b.reported,
    b.missing,
    b.not_applicable,
    b.suppressed,
    b.other_negative,
    b.not_given,
    round(100 * cast(b.reported as double) / cast(b.school_grades as double), 1) as reported_pct
from by_state b
left join ccd_school.lookup_states s on s.code = b.fips
order by b.year, state, b.fips
