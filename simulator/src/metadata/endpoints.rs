//! The list `api-endpoints/`.

use std::sync::LazyLock;

use serde::Serialize;

use crate::csv::records;
use crate::dataset::{AxisValues, Dataset, Section, Years};
use crate::datasets::Datasets;
use crate::route::{BASE, is_of_sample};

const LISTED: &str = include_str!("../../data/endpoints.csv");

/// Ids of endpoints that the portal does not list start here.
const FIRST_OTHER_ID: u32 = 1_000;

/// A row of `api-endpoints/`, with fields in the portal's order.
#[derive(Serialize)]
pub(super) struct Endpoint {
    pub(super) endpoint_id: u32,
    page_id: u32,
    order: u32,
    example_endpoint_url: String,
    endpoint_url: String,
    section: &'static str,
    class_name: String,
    topic: Option<String>,
    sub_topic: String,
    datasource_id: u32,
    years_available: String,
    description: &'static str,
    var_list_id: u32,
    stata_code: &'static str,
    r_code: &'static str,
    python_code: &'static str,
    js_code: &'static str,
    hide: u8,
}

/// What the portal says of an endpoint, and descriptors do not.
struct Listed {
    id: u32,
    order: u32,
    source_id: u32,
    variables_id: u32,
    /// Path below the API root, as the portal writes it.
    url: String,
    /// Path of one of its partitions.
    example: String,
    class_name: String,
    topic: Option<String>,
    sub_topic: String,
    /// In HTML.
    years: String,
}

static ENDPOINTS: LazyLock<Vec<Listed>> = LazyLock::new(|| records(LISTED).skip(1).filter_map(listed).collect());

fn listed(record: Vec<String>) -> Option<Listed> {
    let [id, order, source_id, variables_id, url, example, class_name, topic, sub_topic, years] =
        <[String; 10]>::try_from(record).ok()?;
    Some(Listed {
        id: id.parse().ok()?,
        order: order.parse().ok()?,
        source_id: source_id.parse().ok()?,
        variables_id: variables_id.parse().ok()?,
        url,
        example,
        class_name,
        topic: Some(topic).filter(|topic| !topic.is_empty()),
        sub_topic,
        years,
    })
}

impl Listed {
    fn is_of(&self, path: &str) -> bool {
        self.url.trim_end_matches('/') == path.trim_end_matches('/')
    }
}

/// Returns the id of a dataset's endpoint: the portal's, or one that follows from the name.
pub(super) fn endpoint_id(dataset: &Dataset) -> u32 {
    let listed = ENDPOINTS.iter().find(|listed| listed.is_of(&dataset.path));
    listed.map_or_else(|| other_id(&dataset.name), |listed| listed.id)
}

fn other_id(name: &str) -> u32 {
    let hash = name.bytes().fold(0, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    FIRST_OTHER_ID + hash % 1_000_000
}

/// Returns all rows: the portal's endpoints, then the datasets that it does not list.
pub(super) fn endpoints(datasets: &Datasets) -> Vec<Endpoint> {
    let portal = ENDPOINTS.iter().map(|listed| {
        let dataset = datasets.iter().find(|dataset| listed.is_of(&dataset.path));
        let years = dataset.and_then(|dataset| dataset.years()).filter(|_| !is_of_sample(&listed.url));
        endpoint(listed, years)
    });
    let others = datasets.iter().filter(|dataset| !ENDPOINTS.iter().any(|listed| listed.is_of(&dataset.path)));
    let others = others.map(|dataset| {
        let source = dataset.path.split('/').nth(1).unwrap_or_default();
        let listed = Listed {
            id: other_id(&dataset.name),
            order: other_id(&dataset.name),
            source_id: 0,
            variables_id: other_id(&dataset.name),
            url: dataset.path.clone(),
            example: example(dataset),
            class_name: source.to_uppercase(),
            topic: None,
            sub_topic: dataset.title.clone(),
            years: String::new(),
        };
        endpoint(&listed, dataset.years())
    });
    portal.chain(others).collect()
}

/// - `years`: years of the dataset; `None` for those that the portal lists.
fn endpoint(listed: &Listed, years: Option<&Years>) -> Endpoint {
    let (section, page_id) = match Section::of_path(&listed.url) {
        Section::Schools => ("Schools", 2),
        Section::Districts => ("School_districts", 3),
        Section::Colleges => ("College_university", 1),
    };
    Endpoint {
        endpoint_id: listed.id,
        page_id,
        order: listed.order,
        example_endpoint_url: format!("{BASE}{}", listed.example),
        endpoint_url: format!("{BASE}{}", listed.url),
        section,
        class_name: listed.class_name.clone(),
        topic: listed.topic.clone(),
        sub_topic: listed.sub_topic.clone(),
        datasource_id: listed.source_id,
        years_available: years.map_or_else(|| listed.years.clone(), |years| years.html.clone()),
        description: "Described by the Education Data Portal; simulated here.",
        var_list_id: listed.variables_id,
        stata_code: "",
        r_code: "",
        python_code: "",
        js_code: "",
        hide: 0,
    }
}

/// Returns the path of the last partition.
fn example(dataset: &Dataset) -> String {
    dataset.axes.iter().fold(dataset.path.clone(), |path, axis| {
        let value = match &axis.values {
            AxisValues::Years(years) => years.years.last().map(u16::to_string),
            AxisValues::Coded(values) => values.last().map(|(value, _)| value.clone()),
        };
        path.replace(&format!("{{{}}}", axis.name), &value.unwrap_or_default())
    })
}
