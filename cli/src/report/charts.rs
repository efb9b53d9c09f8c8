//! Line charts over years: where the template draws lines, dots and labels.

use serde::Serialize;

use crate::words::rounded;

/// A line chart. All positions are in units of the view box.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LineChart {
    pub(super) title: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    y_ticks: Vec<Tick>,
    x_ticks: Vec<Tick>,
    pub(super) lines: Vec<Line>,
    /// What it shows, for those who cannot see it.
    pub(super) summary: String,
    /// For the values beside the pointer.
    pub(super) years: Vec<i32>,
    xs: Vec<f64>,
    unit: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

/// One line of a chart.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    /// By year; a gap is `None`.
    pub(super) values: Vec<Option<i64>>,
    /// The `d` of its SVG path.
    path: String,
    /// Years that have no neighbours, and would be invisible as a line.
    dots: Vec<(f64, f64)>,
}

/// Size of a chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    width: f64,
    height: f64,
    left: f64,
    n_y_ticks: u32,
    /// Space between two labels of years.
    year_width: f64,
}

impl Size {
    pub(super) const LARGE: Self = Self { width: 560.0, height: 260.0, left: 46.0, n_y_ticks: 4, year_width: 44.0 };
    pub(super) const SMALL: Self = Self { width: 200.0, height: 110.0, left: 38.0, n_y_ticks: 2, year_width: 60.0 };
}

const TOP: f64 = 10.0;
const RIGHT: f64 = 22.0;
const BOTTOM: f64 = 22.0;

impl LineChart {
    /// Lays out a chart of at least one year.
    ///
    /// - `lines`: name, and values in the order of `years`.
    pub(super) fn new(
        title: String,
        unit: &'static str,
        years: &[i32],
        lines: Vec<(String, Vec<Option<i64>>)>,
        size: Size,
    ) -> Self {
        let Size { width, height, left, .. } = size;
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let maximum = lines.iter().flat_map(|(_, values)| values.iter().flatten()).copied().max().unwrap_or(0);
        let step = tick_step(maximum, size.n_y_ticks);
        let top_value = (maximum.max(1) as f64 / step as f64).ceil() * step as f64;
        let (first, last) = (years.first().copied().unwrap_or(0), years.last().copied().unwrap_or(0));
        let x = |year: i32| {
            if first == last {
                (left + right) / 2.0
            } else {
                left + (right - left) * f64::from(year - first) / f64::from(last - first)
            }
        };
        let y = |value: i64| bottom - (bottom - TOP) * value as f64 / top_value;
        let y_ticks = (0..).map(|i| i * step).take_while(|value| *value as f64 <= top_value);
        // `2M`, not `2.0M`.
        let label = |value: i64| rounded(value.unsigned_abs()).replace(".0", "");
        let y_ticks = y_ticks.map(|value| Tick { at: round(y(value)), label: label(value) }).collect();
        let every = label_every(first, last, right - left, size.year_width);
        let x_ticks = (first..=last).filter(|year| (last - year) % every == 0);
        let x_ticks = x_ticks.map(|year| Tick { at: round(x(year)), label: year.to_string() }).collect();
        let summary = summary(&lines, years, unit);
        let lines = lines.into_iter().map(|(name, values)| {
            let points: Vec<Option<(f64, f64)>> = years
                .iter()
                .zip(&values)
                .map(|(year, value)| value.map(|value| (round(x(*year)), round(y(value)))))
                .collect();
            Line { name, values, path: path(years, &points), dots: dots(years, &points) }
        });
        let (lines, xs) = (lines.collect(), years.iter().map(|year| round(x(*year))).collect());
        let years = years.to_vec();
        Self { title, width, height, left, right, bottom, y_ticks, x_ticks, lines, summary, years, xs, unit }
    }
}

/// Returns the distance of ticks: 1, 2 or 5 times a power of ten.
fn tick_step(maximum: i64, n_ticks: u32) -> i64 {
    let wanted = (maximum.max(1) / i64::from(n_ticks)).max(1);
    let power = 10_i64.pow(wanted.ilog10());
    [1, 2, 5, 10].into_iter().map(|factor| factor * power).find(|step| *step >= wanted).unwrap_or(wanted)
}

/// Returns how many years there are from one label to the next.
fn label_every(first: i32, last: i32, width: f64, year_width: f64) -> i32 {
    let n_labels = (width / year_width).floor().max(1.0);
    let wanted = f64::from(last - first) / n_labels;
    [1, 2, 5, 10, 20].into_iter().find(|every| f64::from(*every) >= wanted).unwrap_or(50)
}

fn round(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}

/// Returns whether a point is joined with the one before it: both have values, and no year is between them.
fn is_joined(years: &[i32], points: &[Option<(f64, f64)>], index: usize) -> bool {
    let of = |index: Option<usize>| Some((*years.get(index?)?, (*points.get(index?)?)?));
    match (of(index.checked_sub(1)), of(Some(index))) {
        (Some((before, _)), Some((year, _))) => year - before == 1,
        _ => false,
    }
}

fn path(years: &[i32], points: &[Option<(f64, f64)>]) -> String {
    let drawn = points.iter().enumerate().filter_map(|(index, point)| {
        let (x, y) = (*point)?;
        Some(format!("{}{x} {y}", if is_joined(years, points, index) { 'L' } else { 'M' }))
    });
    drawn.collect()
}

fn dots(years: &[i32], points: &[Option<(f64, f64)>]) -> Vec<(f64, f64)> {
    let is_alone = |index: usize| !is_joined(years, points, index) && !is_joined(years, points, index + 1);
    points.iter().enumerate().filter(|(index, _)| is_alone(*index)).filter_map(|(_, point)| *point).collect()
}

/// Returns a sentence with the first and the last value of each line.
fn summary(lines: &[(String, Vec<Option<i64>>)], years: &[i32], unit: &str) -> String {
    let of_line = |(name, values): &(String, Vec<Option<i64>>)| {
        let mut known = years.iter().zip(values).filter_map(|(year, value)| Some((year, (*value)?)));
        let (first, first_value) = known.next()?;
        let from = format!("{name}: {} {unit} in {first}", rounded(first_value.unsigned_abs()));
        Some(match known.next_back() {
            Some((last, last_value)) => format!("{from}, {} in {last}", rounded(last_value.unsigned_abs())),
            None => from,
        })
    };
    lines.iter().filter_map(of_line).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (maximum, expected) in [(0, 1), (3, 1), (9, 2), (100, 50), (51_000_000, 20_000_000), (7, 1)] {
            assert_eq!(tick_step(maximum, 4), expected, "{maximum}");
        }
        assert_eq!(label_every(1986, 2024, 500.0, 44.0), 5);
        assert_eq!(label_every(2021, 2021, 500.0, 44.0), 1);
    }

    #[test]
    fn a_line_has_gaps_where_years_are_missing() {
        let values = vec![Some(10), Some(20), None, Some(30)];
        let years = [2015, 2016, 2017, 2019];
        let size = Size { width: 122.0, height: 132.0, left: 0.0, n_y_ticks: 3, year_width: 50.0 };
        let chart = LineChart::new("A".into(), "rows", &years, vec![("all".into(), values)], size);
        assert_eq!(chart.lines[0].path, "M0 76.7L25 43.3M100 10");
        assert_eq!(chart.lines[0].dots, [(100.0, 10.0)]);
        assert_eq!(chart.summary, "all: 10 rows in 2015, 30 in 2019");
    }
}
