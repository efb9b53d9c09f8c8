-- Question: which rows had a field that the table does not have, or a value that did not fit its column?
-- Result:   year (fall), grade (path value), rescued_rows (number of such rows in this year and grade), ncessch, state
--           (name), rescued (JSON text: the fields as received). At most the first 20 rows by ncessch of each year and
--           grade. No rows if nothing was rescued.
-- Leaves out: rows without rescued values, and all but the first 20 of each year and grade: a new portal field appears
--   in every row, and 20 rows are enough to notice it.
-- Needs:    ccd_enrollment.
with rescued_rows as (
    select
        year,
        grade,
        ncessch,
        fips,
        "_rescued" as rescued,
        count(*) over (partition by year, grade) as rescued_rows,
        row_number() over (partition by year, grade order by ncessch) as row_nr
    from ccd_school.us_education_ccd_enrollment_data
    where "_rescued" is not null
)
select
    r.year,
    r.grade,
    r.rescued_rows,
    r.ncessch,
    coalesce(s.label, cast(r.fips as varchar)) as state,
    r.rescued
from rescued_rows r
left join ccd_school.lookup_states s on s.code = r.fips
where r.row_nr <= 20
order by r.year, r.grade, r.ncessch
