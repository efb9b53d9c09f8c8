//! Reads a descriptor from TOML.

use crate::dataset::Dataset;
use crate::error::Error;

impl Dataset {
    /// Reads and checks a descriptor.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] with `file`, line and key of a value that does not parse, or with every rule broken.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let invalid = |mistakes| Error::InvalidDescriptor { file: file.to_owned(), mistakes };
        let dataset: Self = toml::from_str(text).map_err(|error| invalid(vec![locate(text, &error)]))?;
        let mistakes = dataset.mistakes();
        if mistakes.len() == 0 { Ok(dataset) } else { Err(invalid(mistakes.into_sentences())) }
    }
}

/// Line, key and what is wrong, of a descriptor that does not parse.
fn locate(text: &str, error: &toml::de::Error) -> String {
    const LIMIT: usize = 500;
    let message: String = error.message().replace('\n', ", ").chars().take(LIMIT).collect();
    let Some(span) = error.span() else {
        return message;
    };
    // What is missing from the whole file is on none of its lines.
    if span.start == 0 && span.end >= text.trim_end().len() && message.starts_with("missing field") {
        return message;
    }
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let source = text.lines().nth(line - 1).unwrap_or_default();
    match source.split_once('=') {
        Some((key, _)) => format!("line {line}, key `{}`: {message}", key.trim()),
        None => format!("line {line}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Secret;

    const SMALL: &str = r#"
name = "small"
title = "Small"
attribution = "Someone"
path = "schools/small/{year}/"
database = "db"
table = "small"
key = ["id"]
[[axis]]
name = "year"
type = "int"
[[column]]
name = "id"
type = "string"
width = 4
"#;

    #[test]
    fn the_datasets_built_in_are_valid() {
        for name in Dataset::built_in_names() {
            let dataset = Dataset::built_in(name).unwrap();
            assert_eq!(dataset.name, name);
        }
    }

    #[test]
    fn a_change_that_shapes_files_changes_the_schema_id_and_a_comment_does_not() {
        let id = |text: &str| Dataset::parse("x", text).unwrap().schema_id();
        let before = id(SMALL);
        assert_ne!(before, id(&SMALL.replace("width = 4", "width = 5")));
        assert_ne!(before, id(&SMALL.replace("width = 4", "dictionary = false")));
        assert_ne!(before, id(&SMALL.replace("\"id\"", "\"ix\"")));
        let begins = format!("{SMALL}starts_with = {{ fips = 2 }}\n[[column]]\nname = \"fips\"\ntype = \"int\"\n");
        assert_ne!(id(&begins), id(&begins.replace("starts_with = { fips = 2 }\n", "")));
        assert_ne!(id(&begins), id(&begins.replace("fips = 2", "fips = 3")));
        assert_eq!(before, id(&format!("{SMALL}comment = \"more\"\n")));
    }

    #[test]
    fn a_descriptor_is_refused_with_file_line_and_key() {
        for (from, to, expected) in [
            (
                "width = 4",
                "wide = 4",
                "read descriptor `x.toml`: line 15, key `wide`: unknown field `wide`, expected one of `name`, `type`, `width`, `starts_with`, `dictionary`, `comment`",
            ),
            (
                "width = 4",
                "width = \"4\"",
                "read descriptor `x.toml`: line 15, key `width`: invalid type: string \"4\", expected u8",
            ),
            (
                "type = \"int\"",
                "type = \"year\"",
                "read descriptor `x.toml`: line 11, key `type`: unknown variant `year`, expected `int` or `string`",
            ),
            (
                "title = \"Small\"",
                "title = 3",
                "read descriptor `x.toml`: line 3, key `title`: invalid type: integer `3`, expected a string",
            ),
            (
                "{year}/",
                "{year}",
                "read descriptor `x.toml`: `path`: expected a trailing slash, since the portal redirects without, found `schools/small/{year}`",
            ),
            (
                "{year}",
                "{grade}",
                "read descriptor `x.toml`: `path`: expected the placeholders of the axes in order (year), found grade",
            ),
            (
                "schools/small",
                "../small",
                "read descriptor `x.toml`: `path`: expected segments of lower-case letters, digits, `-`, `_` or `{axis}`, found `..`",
            ),
            (
                "key = [\"id\"]",
                "key = [\"no\"]",
                "read descriptor `x.toml`: `key`: expected names of columns, found `no`",
            ),
            ("key = [\"id\"]", "key = []", "read descriptor `x.toml`: `key`: expected at least one column, found none"),
            (
                "table = \"small\"",
                "table = \"../up\"",
                "read descriptor `x.toml`: `table`: expected a name of lower-case letters, digits and `_`, found `../up`",
            ),
            (
                "type = \"string\"",
                "type = \"int\"",
                "read descriptor `x.toml`: `column.width` of `id`: expected only on columns of type string, found it on int",
            ),
        ] {
            let text = SMALL.replace(from, to);
            let error = Dataset::parse("x.toml", &text).unwrap_err();
            assert_eq!(error.chain(), expected);
        }
    }

    /// Found by use: W10.
    #[test]
    fn a_descriptor_that_glue_athena_or_the_client_would_refuse_is_refused_by_its_key() {
        let column = |comment: &str| format!("width = 4\ncomment = \"{comment}\"");
        let name = |key: &str, name: &str| (format!("{key} = \"small\""), format!("{key} = \"{name}\""));
        let (long, longest) = ("x".repeat(256), "x".repeat(255));
        let cases = [
            (
                "width = 4".to_owned(),
                column(&"\u{e9}".repeat(128)),
                format!(
                    "`column.comment` of `id`: expected at most 255 bytes, as AWS Glue takes them, found 256: `{}`",
                    "\u{e9}".repeat(128)
                ),
            ),
            (
                "width = 4".to_owned(),
                column("two\\nlines"),
                "`column.comment` of `id`: expected a single line, as AWS Glue takes it, found `\\n` in `two\\nlines`"
                    .to_owned(),
            ),
            (
                "type = \"int\"".to_owned(),
                format!("type = \"int\"\ncomment = \"{long}\""),
                format!(
                    "`axis.comment` of `year`: expected at most 255 bytes, as AWS Glue takes them, found 256: `{}…`",
                    "x".repeat(200)
                ),
            ),
            (
                "key = [\"id\"]".to_owned(),
                format!("key = [\"id\"]\ncomment = \"{}\"", "x".repeat(2_040)),
                format!(
                    "`comment` and `attribution`: expected at most 2048 bytes, as AWS Glue takes them, found 2056: `{}…`",
                    "x".repeat(200)
                ),
            ),
            {
                let (from, to) = name("table", &long);
                let found = format!("`table`: expected a name of at most 255 bytes, found 256: `{}…`", "x".repeat(200));
                (from, to, found)
            },
            {
                let (from, to) = name("table", "order");
                let found = "`table`: expected a name that SQL takes without quotes, found `order`, a word of SQL";
                (from, to, found.to_owned())
            },
            {
                let (from, to) = name("table", "_small");
                let found = "`table`: expected a name that does not begin with `_`, since engines take such a folder for \
                             hidden, found `_small`";
                (from, to, found.to_owned())
            },
            (
                "\"db\"".to_owned(),
                "\"information_schema\"".to_owned(),
                "`database`: expected a database of its own, found `information_schema`, which query engines keep for \
                 themselves"
                    .to_owned(),
            ),
        ];
        for (from, to, expected) in cases {
            assert!(SMALL.contains(&from), "{from}");
            let error = Dataset::parse("x.toml", &SMALL.replace(&from, &to)).unwrap_err();
            assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
        }
        // What is as long as may be is taken.
        let (from, to) = name("table", &longest);
        let full = SMALL.replace(&from, &to).replace("width = 4", &column(&longest));
        Dataset::parse("x.toml", &full).unwrap();
    }

    #[test]
    fn what_a_padded_text_begins_with_is_a_number_or_a_narrower_text() {
        let of = |columns: &str, begins: &str| {
            let text = format!("{SMALL}starts_with = {{ {begins} }}\n{columns}");
            Dataset::parse("x.toml", &text).map(|_| ()).map_err(|error| error.chain())
        };
        let fips = "[[column]]\nname = \"fips\"\ntype = \"int\"\n";
        let text = "[[column]]\nname = \"short\"\ntype = \"string\"\nwidth = 3\n";
        assert_eq!(of(fips, "fips = 2"), Ok(()));
        assert_eq!(of(text, "short = 1"), Ok(()));
        for (columns, begins, found) in [
            (fips, "state = 2", "`state`: no column of this name"),
            (fips, "fips = 0", "`fips`: 0 digits after it"),
            (fips, "fips = 4", "`fips`: 4 digits after it"),
            (fips, "id = 1", "`id`: text of `width` 4"),
            (&text.replace("width = 3", ""), "short = 2", "`short`: text without a `width`"),
            (&fips.replace("int", "double"), "fips = 2", "`fips`: a column of type double"),
        ] {
            let expected = format!(
                "read descriptor `x.toml`: `column.starts_with` of `id`: expected numbers and texts of less `width` than 4, \
                 each with 1 to 3 digits after it, found {found}"
            );
            assert_eq!(of(columns, begins), Err(expected));
        }
        let without = SMALL.replace("width = 4", "starts_with = { fips = 2 }") + fips;
        assert_eq!(
            Dataset::parse("x.toml", &without).unwrap_err().chain(),
            "read descriptor `x.toml`: `column.starts_with` of `id`: expected only beside a `width`, found it without"
        );
    }

    /// Found by use: W10.
    #[test]
    fn an_axis_that_the_lake_or_a_request_has_another_use_for_is_refused() {
        let with_axis = |name: &str, rest: &str| {
            let axis = format!("[[axis]]\nname = \"{name}\"\n{rest}\n[[column]]");
            SMALL.replace("{year}/", &format!("{{year}}/{{{name}}}/")).replace("[[column]]", &axis)
        };
        let values = "type = \"string\"\nvalues = [{ value = \"a\", code = 1 }]";
        Dataset::parse("x.toml", &with_axis("grade", values)).unwrap();
        for (name, rest, expected) in [
            (
                "fips",
                "type = \"int\"",
                "`axis.type` of `fips`: expected string, with the values and their codes, found int, which only an axis \
                 `year` may be",
            ),
            (
                "partition",
                values,
                "found 2 mistakes\n  - `axis.name`: expected a name that SQL takes without quotes, found `partition`, a word \
                 of SQL\n  - `axis.name`: expected a name whose plural is no other field of a request, found `partition` \
                 (`partitions`)",
            ),
            (
                "_rescued",
                values,
                "found 2 mistakes\n  - `axis.name`: expected a name that does not begin with `_`, since engines take such a \
                 folder for hidden, found `_rescued`\n  - `axis.name`: expected every name once, found `_rescued` again",
            ),
        ] {
            let error = Dataset::parse("x.toml", &with_axis(name, rest)).unwrap_err();
            assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
        }
        let long = format!("type = \"string\"\nvalues = [{{ value = \"{}\", code = 1 }}]", "a".repeat(245));
        let error = Dataset::parse("x.toml", &with_axis("grade", &long)).unwrap_err();
        assert!(error.chain().contains("of at most 250 bytes together, found 251"), "{}", error.chain());
        let none = SMALL.replace("[[axis]]\nname = \"year\"\ntype = \"int\"\n", "").replace("{year}/", "");
        let error = Dataset::parse("x.toml", &none.replace("key =", "axis = []\nkey =")).unwrap_err();
        assert_eq!(error.chain(), "read descriptor `x.toml`: `axis`: expected at least one, found none");
    }

    /// Found by use: W10.
    #[test]
    fn a_secret_is_sent_in_no_header_that_the_client_or_the_connection_sets() {
        let with_header = |header: &str| {
            let secret = format!("key = [\"id\"]\nsecret = {{ header = \"{header}\", name = \"n\" }}");
            Dataset::parse("x.toml", &SMALL.replace("key = [\"id\"]", &secret))
        };
        for header in ["Authorization", "X-Api-Key", "x_key", "Cookie", "api-key"] {
            with_header(header).unwrap();
        }
        for header in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Accept",
            "Accept-Encoding",
            "User-Agent",
            "CACHE-CONTROL",
            "Expect",
            "Range",
            "If-None-Match",
            "Content-Type",
            "Sec-Fetch-Mode",
        ] {
            assert_eq!(
                with_header(header).unwrap_err().chain(),
                format!(
                    "read descriptor `x.toml`: `secret.header`: expected a header that is free, such as `x-api-key` or \
                     `authorization`, found `{header}`, which the client or the connection sets"
                )
            );
        }
    }

    /// Found by use: B8.
    #[test]
    fn of_many_broken_rules_twenty_are_written_out_and_the_rest_counted() {
        let columns: String = (0..1_000).map(|i| format!("[[column]]\nname = \"C{i}\"\ntype = \"int\"\n")).collect();
        let message = Dataset::parse("x.toml", &format!("{SMALL}{columns}")).unwrap_err().chain();
        assert!(message.starts_with("read descriptor `x.toml`: found more than 20 mistakes\n"), "{message}");
        assert!(message.ends_with("\n  - … and 980 more"), "{message}");
    }

    #[test]
    fn a_partition_in_another_key_order_is_the_same_partition() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let parse = |json: &str| dataset.arrange(&serde_json::from_str(json).unwrap());
        let expected = parse(r#"{"year": 2021, "grade": "grade-pk"}"#).unwrap();
        assert_eq!(expected.to_string(), "year=2021/grade=grade-pk");
        assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021}"#), Some(expected));
        assert_eq!(parse(r#"{"year": 2021}"#), None);
        assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021, "sex": 1}"#), None);
    }

    #[test]
    fn a_secret_is_looked_up_in_a_variable_of_its_name() {
        let secret = Secret { header: "x-api-key".into(), name: "portal-key".into() };
        assert_eq!(secret.variable(), "ROLLCALL_SECRET_PORTAL_KEY");
    }
}
