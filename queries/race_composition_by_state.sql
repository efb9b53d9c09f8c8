-- Question: what is the composition by race or ethnicity of each state's students, in each loaded year?
-- Result:   year (fall), state (name), race (label), students (of that race, both sexes and all loaded grades),
--           share_pct (as a percentage of the state's students whose race is reported, one decimal), grades (number of
--           grades loaded and reported for the state: two years are comparable only if their numbers are equal).
-- Leaves out: totals, which are among the rows: race 99 and grade-99 are dropped, and for sex only the total 99 is
--   used, because it includes students whose sex is not identified. Negative enrollments, which are codes, and null
--   enrollments: schools that do not report race are not part of any share. Years before 1998 have only totals and
--   produce no rows. There are five races through 2007 and seven from 2008, so shares before and after that change
--   are not comparable.
-- Needs:    ccd_enrollment_race_sex, grades other than grade-99 (if only grade-99 is loaded, change <> to =).
with reported as (
    select
        year,
        grade,
        fips,
        race,
        enrollment
    from ccd_school.us_education_ccd_enrollment_race_sex_data
    where grade <> 'grade-99'
        and sex = 99
        and race <> 99
        and enrollment >= 0
),
by_state as (
    select
        year,
        fips,
        sum(enrollment) as state_students,
        count(distinct grade) as grades
    from reported
    group by year, fips
),
by_race as (
    select
        year,
        fips,
        race as race_code,
        sum(enrollment) as students
    from reported
    group by year, fips, race
)
select
    r.year,
    coalesce(s.label, cast(r.fips as varchar)) as state,
    coalesce(c.label, cast(r.race_code as varchar)) as race,
    r.students,
    round(100 * cast(r.students as double) / cast(nullif(t.state_students, 0) as double), 1) as share_pct,
    t.grades
from by_race r
inner join by_state t on t.year = r.year and t.fips = r.fips
left join ccd_school.lookup_states s on s.code = r.fips
left join ccd_school.lookup_races c on c.code = r.race_code
order by r.year, state, r.fips, r.race_code
