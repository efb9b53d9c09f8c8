//! Rows of the school directory: 52 fields in the portal's order, with invented names and addresses.

use std::io::Write as _;
use std::ops::Range;

use crate::grade::Grade;
use crate::query::Filters;
use crate::sample::Sample;
use crate::sample::hash::mix;
use crate::sample::school::{Level, School};
use crate::states::STATES;

/// The schools that are open in one year and match the filters.
pub(crate) struct Directory {
    year: u16,
    schools: Vec<School>,
}

impl Directory {
    /// Selects the rows.
    ///
    /// - `fixed_rows`: number of rows before filtering, for a partition of numbered schools.
    pub(crate) fn select(sample: &Sample, year: u16, filters: &Filters, fixed_rows: Option<u64>) -> Self {
        let is_selected =
            |school: &School| school.is_open(year) && filters.allow_year(year) && filters.allow_school(school);
        let schools = match fixed_rows {
            None => sample.schools().iter().copied().filter(is_selected).collect(),
            Some(n) => (0..n).map(|index| sample.numbered_school(index, n)).filter(is_selected).collect(),
        };
        Directory { year, schools }
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.schools.len() as u64
    }

    /// Appends the rows at `positions` as JSON objects, separated by commas.
    pub(crate) fn push_rows(&self, positions: Range<u64>, into: &mut Vec<u8>) {
        let places = positions.start as usize..positions.end as usize;
        for (index, school) in self.schools.get(places).unwrap_or_default().iter().enumerate() {
            if index > 0 {
                into.push(b',');
            }
            push_row(school, self.year, into);
        }
    }
}

fn push_row(school: &School, year: u16, into: &mut Vec<u8>) {
    let traits = mix(school.seed, 3);
    let (id, district, number) = (school.id, school.district(), school.id % 100_000);
    let fips = school.fips();
    let postal = STATES.iter().find(|state| u64::from(state.fips) == fips).map_or("", |state| state.postal);
    let street = format!("{} Sample Street", 1 + traits % 9_000);
    let city = format!("Sample City {:03}", district % 1_000);
    let zip = format!("{:05}", district % 100_000);
    let (lowest, highest) = school.grade_span();
    let (level, is_elementary, is_middle, is_high) = match school.level {
        Level::Elementary => (1, 1, 0, 0),
        Level::Middle => (2, 0, 1, 0),
        Level::High => (3, 0, 0, 1),
        Level::Combined => (4, 1, 1, 1),
    };
    let enrollment = school.students(year, Grade::TOTAL);
    // In one school in fifty, lunches and teachers are missing; in one in seventy, they are not applicable.
    let reported = |value: u32, shift: u32| match traits >> shift {
        hash if hash % 50 == 0 => -1,
        hash if hash % 70 == 0 => -2,
        _ => i64::from(value),
    };
    let free_lunch = enrollment * ((traits >> 16) % 90) as u32 / 100;
    let reduced_lunch = enrollment / 20;
    let latitude = 30.0 + (traits % 180_000) as f64 / 10_000.0;
    let longitude = -120.0 + ((traits >> 20) % 450_000) as f64 / 10_000.0;
    let charter = u8::from((traits >> 12).is_multiple_of(14));
    // Writing to a `Vec` does not fail.
    let _ = write!(
        into,
        "{{\"year\":{year},\"ncessch\":\"{id:012}\",\"school_id\":\"{number:05}\",\
         \"school_name\":\"Sample School {number:05}\",\"leaid\":\"{district:07}\",\
         \"lea_name\":\"Sample District {district:07}\",\"state_leaid\":\"{postal}-{state_district:05}\",\
         \"seasch\":\"{number}\",\"street_mailing\":\"{street}\",\"city_mailing\":\"{city}\",\
         \"state_mailing\":\"{postal}\",\"zip_mailing\":\"{zip}\",\"street_location\":\"{street}\",\
         \"city_location\":\"{city}\",\"state_location\":\"{postal}\",\"zip_location\":\"{zip}\",\
         \"phone\":\"55555501{phone:02}\",\"fips\":{fips},\"latitude\":{latitude:?},\"longitude\":{longitude:?},\
         \"csa\":null,\"cbsa\":null,\"urban_centric_locale\":{locale},\"county_code\":\"{fips:02}{county:03}\",\
         \"school_level\":{level},\"school_type\":1,\"school_status\":1,\"lowest_grade_offered\":{lowest},\
         \"highest_grade_offered\":{highest},\"bureau_indian_education\":{bureau},\"title_i_status\":{title},\
         \"title_i_eligible\":{eligible},\"title_i_schoolwide\":{schoolwide},\"charter\":{charter},\"magnet\":{magnet},\
         \"shared_time\":0,\"virtual\":null,\"teachers_fte\":{teachers},\"free_lunch\":{free},\
         \"reduced_price_lunch\":{reduced},\"free_or_reduced_price_lunch\":{free_or_reduced},\
         \"elem_cedp\":{is_elementary},\"high_cedp\":{is_high},\"middle_cedp\":{is_middle},\"ungrade_cedp\":0,\
         \"enrollment\":{enrollment},\"state_leg_district_lower\":\"\",\"state_leg_district_upper\":\"\",\
         \"ncessch_num\":{id},\"congress_district_id\":null,\"direct_certification\":null,\"lunch_program\":null}}",
        state_district = district % 100_000,
        phone = traits % 100,
        locale = ((traits >> 4) % 4 + 1) * 10 + (traits >> 6) % 3 + 1,
        county = (traits >> 8) % 100 * 2 + 1,
        bureau = u8::from(fips == 59),
        title = if charter == 1 { 6 } else { 5 },
        eligible = 1 - charter,
        schoolwide = 1 - charter,
        magnet = u8::from((traits >> 13).is_multiple_of(30)),
        teachers = reported(enrollment / 16, 24),
        free = reported(free_lunch, 30),
        reduced = reported(reduced_lunch, 30),
        free_or_reduced = reported(free_lunch + reduced_lunch, 30),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_52_fields_and_keeps_the_leading_zero_of_leaid() {
        let sample = Sample::new(100);
        let directory = Directory::select(&sample, 2013, &Filters::default(), None);
        let mut text = b"[".to_vec();
        directory.push_rows(0..directory.n_rows(), &mut text);
        text.push(b']');
        let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&text).unwrap();
        assert_eq!(rows.len() as u64, directory.n_rows());
        for row in rows {
            assert_eq!(row.len(), 52);
            assert_eq!(row["leaid"].as_str().unwrap().len(), 7);
            assert_eq!(row["ncessch"].as_str().unwrap().len(), 12);
            assert_eq!(row["ncessch"].as_str().unwrap()[..7], *row["leaid"].as_str().unwrap());
        }
    }
}
