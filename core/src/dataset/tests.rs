use crate::dataset::Dataset;
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
fn the_built_in_datasets_are_valid() {
    for name in Dataset::built_in_names() {
        let dataset = Dataset::built_in(name).unwrap();
        assert_eq!(dataset.name, name);
    }
}

#[test]
fn changes_that_affect_files_change_the_schema_id_and_comments_do_not() {
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
fn an_invalid_descriptor_is_reported_with_file_line_and_key() {
    for (from, to, expected) in [
        (
            "width = 4",
            "wide = 4",
            "read descriptor `x.toml`: line 15, `column.wide` of `id`: expected one of `name`, `field`, `type`, `codes`, `total`, `optional`, `width`, `starts_with`, `dictionary`, `comment`, found an unknown key\n    hint: write `width`",
        ),
        (
            "width = 4",
            "width = \"4\"",
            "read descriptor `x.toml`: line 15, `column.width` of `id`: expected 1 to 32, found \"4\"",
        ),
        (
            "type = \"int\"",
            "type = \"year\"",
            "read descriptor `x.toml`: line 11, `axis.type` of `year`: expected \"int\" or \"string\", found \"year\"",
        ),
        ("title = \"Small\"", "title = 3", "read descriptor `x.toml`: line 3, `title`: expected text, found 3"),
        (
            "{year}/",
            "{year}",
            "read descriptor `x.toml`: line 5, `path`: expected a trailing slash (the portal redirects paths without one), found `schools/small/{year}`",
        ),
        (
            "{year}",
            "{grade}",
            "read descriptor `x.toml`: line 5, `path`: expected one placeholder per axis, in order (year), found grade",
        ),
        (
            "schools/small",
            "../small",
            "read descriptor `x.toml`: line 5, `path`: expected each segment to be `{axis}` or lower-case letters, digits, `-` and `_`, found `..`",
        ),
        (
            "key = [\"id\"]",
            "key = [\"no\"]",
            "read descriptor `x.toml`: line 8, `key`: expected the name of a column, found `no`",
        ),
        (
            "key = [\"id\"]",
            "key = []",
            "read descriptor `x.toml`: line 8, `key`: expected at least one column, found none",
        ),
        (
            "table = \"small\"",
            "table = \"../up\"",
            "read descriptor `x.toml`: line 7, `table`: expected lower-case letters, digits and `_`, not starting with a digit, found `../up`",
        ),
        (
            "type = \"string\"",
            "type = \"int\"",
            "read descriptor `x.toml`: line 15, `column.width` of `id`: expected a column of type string, found type int",
        ),
    ] {
        let text = SMALL.replace(from, to);
        let error = Dataset::parse("x.toml", &text).unwrap_err();
        assert_eq!(error.chain(), expected);
    }
}

/// Found by use: W10.
#[test]
fn a_descriptor_that_glue_or_athena_would_reject_is_reported_by_its_key() {
    let column = |comment: &str| format!("width = 4\ncomment = \"{comment}\"");
    let name = |key: &str, name: &str| (format!("{key} = \"small\""), format!("{key} = \"{name}\""));
    let (long, longest) = ("x".repeat(256), "x".repeat(255));
    let cases = [
        (
            "width = 4".to_owned(),
            column(&"\u{e9}".repeat(128)),
            format!(
                "line 16, `column.comment` of `id`: expected at most 255 bytes (the limit of AWS Glue), found 256: `{}`",
                "\u{e9}".repeat(128)
            ),
        ),
        (
            "width = 4".to_owned(),
            column("two\\nlines"),
            "line 16, `column.comment` of `id`: expected a single line without control characters (a rule of AWS Glue), found \
             `\\n` in `two\\nlines`"
                .to_owned(),
        ),
        (
            "type = \"int\"".to_owned(),
            format!("type = \"int\"\ncomment = \"{long}\""),
            format!(
                "line 12, `axis.comment` of `year`: expected at most 255 bytes (the limit of AWS Glue), found 256: `{}…`",
                "x".repeat(200)
            ),
        ),
        (
            "key = [\"id\"]".to_owned(),
            format!("key = [\"id\"]\ncomment = \"{}\"", "x".repeat(2_040)),
            format!(
                "line 9, `comment` and `attribution`: expected at most 2048 bytes (the limit of AWS Glue), found 2056: `{}…`",
                "x".repeat(200)
            ),
        ),
        {
            let (from, to) = name("table", &long);
            let found = format!("line 7, `table`: expected at most 255 bytes, found 256: `{}…`", "x".repeat(200));
            (from, to, found)
        },
        {
            let (from, to) = name("table", "order");
            let found = "line 7, `table`: expected a name that is not reserved in SQL, found `order`";
            (from, to, found.to_owned())
        },
        {
            let (from, to) = name("table", "small_history");
            let found = "line 7, `table`: expected a table that does not end in `_history`, which the history of a table \
                         uses, found `small_history`";
            (from, to, found.to_owned())
        },
        (
            "width = 4".to_owned(),
            "width = 4\n[[column]]\nname = \"valid_until\"\ntype = \"int\"".to_owned(),
            "line 17, `column.name`: expected a name that the history of a table does not use, found `valid_until`".to_owned(),
        ),
        {
            let (from, to) = name("table", "_small");
            let found = "line 7, `table`: expected a name that does not start with `_` (query engines ignore such folders), \
                         found `_small`";
            (from, to, found.to_owned())
        },
        (
            "\"db\"".to_owned(),
            "\"information_schema\"".to_owned(),
            "line 6, `database`: expected a name that query engines do not reserve, found `information_schema`".to_owned(),
        ),
    ];
    for (from, to, expected) in cases {
        assert!(SMALL.contains(&from), "{from}");
        let error = Dataset::parse("x.toml", &SMALL.replace(&from, &to)).unwrap_err();
        assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
    }
    // The maximum length is accepted.
    let (from, to) = name("table", &longest);
    let full = SMALL.replace(&from, &to).replace("width = 4", &column(&longest));
    Dataset::parse("x.toml", &full).unwrap();
}

#[test]
fn a_padded_string_starts_with_an_integer_or_a_narrower_string() {
    let parse = |columns: &str, starts_with: &str| {
        let text = format!("{SMALL}starts_with = {{ {starts_with} }}\n{columns}");
        Dataset::parse("x.toml", &text).map(|_| ()).map_err(|error| error.chain())
    };
    let fips = "[[column]]\nname = \"fips\"\ntype = \"int\"\n";
    let text = "[[column]]\nname = \"short\"\ntype = \"string\"\nwidth = 3\n";
    assert_eq!(parse(fips, "fips = 2"), Ok(()));
    assert_eq!(parse(text, "short = 1"), Ok(()));
    for (columns, starts_with, found) in [
        (fips, "state = 2", "`state`: no such column"),
        (fips, "fips = 0", "`fips`: 0 more digits"),
        (fips, "fips = 4", "`fips`: 4 more digits"),
        (fips, "id = 1", "`id`: `width` 4"),
        (&text.replace("width = 3", ""), "short = 2", "`short`: type string without a `width`"),
        (&fips.replace("int", "double"), "fips = 2", "`fips`: type double"),
    ] {
        let expected = format!(
            "read descriptor `x.toml`: line 16, `column.starts_with` of `id`: expected integer columns, or string columns with a \
             `width` below 4, each followed by 1 to 3 more digits, found {found}"
        );
        assert_eq!(parse(columns, starts_with), Err(expected));
    }
    let without = SMALL.replace("width = 4", "starts_with = { fips = 2 }") + fips;
    assert_eq!(
        Dataset::parse("x.toml", &without).unwrap_err().chain(),
        "read descriptor `x.toml`: line 15, `column.starts_with` of `id`: expected a column of type string with a `width`, found one without"
    );
}

/// Found by use: W10.
#[test]
fn an_axis_whose_name_the_lake_or_a_request_reserves_is_refused() {
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
            "line 12, `axis.values` of `fips`: expected at least one (only an axis of type int named `year` has none), found none",
        ),
        (
            "n_rows",
            values,
            "line 13, `axis.name`: expected a name that the history of a table does not use, found `n_rows`",
        ),
        (
            "partition",
            values,
            "found 2 mistakes\n  - line 13, `axis.name`: expected a name that is not reserved in SQL, found `partition`\n  - \
             line 13, `axis.name`: expected a name whose plural is not already a request field, found `partition` \
             (`partitions`)",
        ),
        (
            "_rescued",
            values,
            "found 2 mistakes\n  - line 13, `axis.name`: expected a name that does not start with `_` (query engines ignore such \
             folders), found `_rescued`\n  - line 13, `axis.name`: expected a unique name, found `_rescued`, which is already \
             used",
        ),
    ] {
        let error = Dataset::parse("x.toml", &with_axis(name, rest)).unwrap_err();
        assert_eq!(error.chain(), format!("read descriptor `x.toml`: {expected}"));
    }
    let long = format!("type = \"string\"\nvalues = [{{ value = \"{}\", code = 1 }}]", "a".repeat(245));
    let error = Dataset::parse("x.toml", &with_axis("grade", &long)).unwrap_err();
    assert!(error.chain().contains("at most 250 bytes for `grade=` and the value, found 251"), "{}", error.chain());
    let none = SMALL.replace("[[axis]]\nname = \"year\"\ntype = \"int\"\n", "").replace("{year}/", "");
    let error = Dataset::parse("x.toml", &none.replace("key =", "axis = []\nkey =")).unwrap_err();
    assert_eq!(error.chain(), "read descriptor `x.toml`: line 8, `axis`: expected at least one, found none");
}

#[test]
fn the_memory_of_a_partition_is_limited() {
    let parse = |n: u16| Dataset::parse("x.toml", &SMALL.replace("key =", &format!("memory_mib = {n}\nkey =")));
    assert_eq!(parse(512).unwrap().memory_mib, Some(512));
    for n in [0, 513] {
        assert!(parse(n).unwrap_err().chain().ends_with(&format!("`memory_mib`: expected 1 to 512, found {n}")));
    }
}

#[test]
fn the_number_of_requests_in_flight_is_limited() {
    let parse = |n: u16| {
        Dataset::parse("x.toml", &SMALL.replace("key = [\"id\"]", &format!("key = [\"id\"]\nin_flight = {n}")))
    };
    assert_eq!(parse(256).unwrap().in_flight, Some(256));
    for n in [0, 257] {
        assert!(parse(n).unwrap_err().chain().ends_with(&format!("`in_flight`: expected 1 to 256, found {n}")));
    }
}

/// Found by use: W10.
#[test]
fn a_secret_cannot_use_a_header_that_is_reserved_for_the_http_client() {
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
                "read descriptor `x.toml`: line 9, `secret.header`: expected a header for credentials, such as `x-api-key` or \
                 `authorization`, found `{header}`, which is reserved for the HTTP client"
            )
        );
    }
}

/// Found by use: B8.
#[test]
fn of_many_broken_rules_twenty_are_listed_and_the_rest_counted() {
    let columns: String = (0..1_000).map(|i| format!("[[column]]\nname = \"C{i}\"\ntype = \"int\"\n")).collect();
    let message = Dataset::parse("x.toml", &format!("{SMALL}{columns}")).unwrap_err().chain();
    assert!(message.starts_with("read descriptor `x.toml`: found more than 20 mistakes\n"), "{message}");
    assert!(message.ends_with("\n  - … and 980 more"), "{message}");
}

#[test]
fn the_order_of_a_partitions_axes_does_not_matter() {
    let dataset = Dataset::built_in("ccd_enrollment").unwrap();
    let parse = |json: &str| dataset.arrange(&serde_json::from_str(json).unwrap());
    let expected = parse(r#"{"year": 2021, "grade": "grade-pk"}"#).unwrap();
    assert_eq!(expected.to_string(), "year=2021/grade=grade-pk");
    assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021}"#), Some(expected));
    assert_eq!(parse(r#"{"year": 2021}"#), None);
    assert_eq!(parse(r#"{"grade": "grade-pk", "year": 2021, "sex": 1}"#), None);
}

#[test]
fn a_secret_is_read_from_a_variable_named_after_it() {
    let secret = Secret { header: "x-api-key".into(), name: "portal-key".into() };
    assert_eq!(secret.variable(), "ROLLCALL_SECRET_PORTAL_KEY");
}

/// Replaces parts of the small descriptor and returns its error message.
fn refused(changes: &[(&str, &str)]) -> String {
    let mut text = SMALL.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let message = Dataset::parse("x.toml", &text).unwrap_err().chain();
    message.strip_prefix("read descriptor `x.toml`: ").unwrap().to_owned()
}

const MORE: &str = "width = 4\n[[column]]\nname = \"sex\"\ntype = \"int\"\n";

#[test]
fn a_wrong_word_is_reported_with_its_line_and_the_nearest_right_one() {
    let with = |rest: &str| refused(&[("width = 4", &format!("{MORE}{rest}"))]);
    for (found, expected) in [
        (
            refused(&[("type = \"int\"", "type = \"integer\"")]),
            "line 11, `axis.type` of `year`: expected \"int\" or \"string\", found \"integer\"\n    hint: write `int`",
        ),
        (
            refused(&[("[\"id\"]", "[\"ID\"]")]),
            "line 8, `key`: expected the name of a column, found `ID`\n    hint: write `id`",
        ),
        (
            with("codes = \"sexs\"\n[lists.sex]\n1 = \"Male\"\n"),
            "line 19, `column.codes` of `sex`: expected the name of a list, found `sexs`\n    hint: write `sex`",
        ),
        (
            with("codes = \"mine\"\ntotal = 9\n[lists.mine]\n1 = \"Male\"\n"),
            "line 20, `column.total` of `sex`: expected a code of the list `mine`, found 9",
        ),
        (with("total = 9\n"), "line 19, `column.total` of `sex`: expected a column with `codes`, found one without"),
        (
            with("codes = \"mine\"\n[lists.mine]\none = \"Male\"\n"),
            "line 20, `lists.mine`: expected integer codes, found `one`",
        ),
        (
            with("codes = \"mine\"\n[lists.mine]\n1 = \"\"\n"),
            "line 20, `lists.mine`: expected labels without control characters, found ``",
        ),
        (
            with("field = \"id\"\n"),
            "line 19, `column.field`: expected a unique name, found `id`, which is already used",
        ),
        (
            with("field = \"\"\n"),
            "line 19, `column.field` of `sex`: expected the name of a field in the portal's rows, found ``",
        ),
        (
            refused(&[("width = 4", "optional = true")]),
            "line 15, `column.optional` of `id`: expected a column that is not in `key`, found a key column",
        ),
        (
            refused(&[("key =", "repeated_keys = \"keep\"\nkey =")]),
            "line 8, `repeated_keys`: expected a `reason` beside `keep`, found none",
        ),
        (
            refused(&[("key =", "reason = \"x\"\nkey =")]),
            "line 8, `reason`: expected `repeated_keys = \"keep\"` beside it, found none",
        ),
        (
            refused(&[("type = \"int\"", "type = \"int\"\nyears = \"all\"")]),
            "line 12, `axis.years` of `year`: expected years such as `1980, 1984-2022`, in ascending order, found `all`",
        ),
        (
            refused(&[("type = \"int\"", "type = \"int\"\nvalues = [1]")]),
            "line 12, `axis.values` of `year`: expected none (the portal lists the years), found 1",
        ),
        (
            refused(&[("width = 4", "codes = \"mine\"\n[lists.mine]\n1 = \"A\"")]),
            "line 15, `column.codes` of `id`: expected a column of numbers, found type string",
        ),
    ] {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn an_axis_of_numbers_lists_them() {
    let with_axis = |rest: &str| {
        let axis = format!("[[axis]]\nname = \"level\"\n{rest}\n[[column]]");
        SMALL.replace("{year}/", "{year}/{level}/").replace("[[column]]", &axis)
    };
    let dataset = Dataset::parse("x.toml", &with_axis("type = \"int\"\nvalues = [1, 2, -3]\ntotal = 2")).unwrap();
    let partition = dataset.parse_partition("year=2021/level=-3").unwrap();
    assert!(dataset.has(&partition));
    assert_eq!(dataset.codes(&partition), [("year".to_owned(), 2021), ("level".to_owned(), -3)]);
    assert_eq!(dataset.year(&partition), Some(2021));
    assert_eq!(dataset.portal_path(&partition), "schools/small/2021/-3/");
    for stray in ["year=2021/level=4", "year=2021/level=02", "year=1/level=1"] {
        assert!(dataset.parse_partition(stray).is_none_or(|partition| !dataset.has(&partition)), "{stray}");
    }
    let message = Dataset::parse("x.toml", &with_axis("type = \"int\"\nvalues = [{ value = \"a\", code = 1 }]"));
    assert_eq!(
        message.unwrap_err().chain(),
        "read descriptor `x.toml`: line 15, `axis.values` of `level`: expected 32-bit numbers such as [1, 2] for type int, found `a`"
    );
}

#[test]
fn a_word_of_another_program_is_answered_with_the_one_of_descriptors() {
    let of_column = |kind: &str| refused(&[("type = \"string\"\nwidth = 4", &format!("type = \"{kind}\""))]);
    let of_key = |from: &str, to: &str| refused(&[(from, to)]);
    let of_codes = |list: &str| refused(&[("width = 4", &format!("{MORE}codes = \"{list}\""))]);
    for (found, expected) in [
        (of_column("int64"), Some("bigint")),
        (of_column("long"), Some("bigint")),
        (of_column("INTEGER"), Some("int")),
        (of_column("text"), Some("string")),
        (of_column("varchar"), Some("string")),
        (of_column("str"), Some("string")),
        (of_column("float"), Some("double")),
        (of_column("number"), Some("double")),
        (of_column("decimal"), Some("double")),
        (of_column("date"), None),
        (of_key("type = \"string\"\n", "kind = \"string\"\n"), Some("type")),
        (of_key("width", "description"), Some("comment")),
        (of_key("key =", "primary_key ="), Some("key")),
        (of_key("type = \"int\"", "type = \"int64\""), Some("int")),
        (of_codes("states"), Some("fips")),
        (of_codes("schools"), None),
    ] {
        let hint = found.split_once("\n    hint: write ").map(|(_, hint)| hint);
        assert_eq!(hint, expected.map(|word| format!("`{word}`")).as_deref(), "{found}");
    }
}

#[test]
fn a_value_that_cannot_be_read_is_reported_like_a_broken_rule() {
    for (from, to, expected) in [
        ("key = [\"id\"]", "key = \"id\"", "line 8, `key`: expected a list such as [\"ncessch\"], found \"id\""),
        ("width = 4", "width = 300", "line 15, `column.width` of `id`: expected 1 to 32, found 300"),
        ("key =", "in_flight = 1.5\nkey =", "line 8, `in_flight`: expected 1 to 256, found 1.5"),
        ("key =", "secret = 1\nkey =", "line 8, `secret`: expected a table with `header` and `name`, found 1"),
        (
            "width = 4",
            "starts_with = { fips = \"2\" }",
            "line 15, `column.starts_with.fips` of `id`: expected 1 to 31 digits, found \"2\"",
        ),
        (
            "type = \"int\"",
            "type = \"int\"\nvalues = [{ value = \"a\", code = \"1\" }]",
            "line 12, `axis.values.code` of `year`: expected a whole number, found \"1\"",
        ),
        (
            "type = \"int\"",
            "type = \"int\"\nvalues = [{ value = \"a\" }]",
            "line 12, `axis.values.code` of `year`: expected a whole number, found none",
        ),
        ("width = 4", "width = 4\n[lists.shift]\n1 = 5", "line 17, `lists.shift.1`: expected text, found 5"),
        // What is missing is named with its table.
        ("title = \"Small\"\n", "", "`title`: expected text, found none"),
        (
            "type = \"string\"\n",
            "",
            "line 12, `column.type` of `id`: expected \"string\", \"int\", \"bigint\" or \"double\", found none",
        ),
        ("name = \"year\"\n", "", "line 9, `axis.name`: expected text, found none"),
        // A table in the wrong place, or of the wrong kind.
        ("[[axis]]", "[axis]", "line 9, `axis`: expected a table for each axis, written `[[axis]]`, found [axis]"),
        ("[[column]]\n", "[column]\nname = \"a\"\n[column]\n", "line 14: duplicate key\n    hint: write `[[column]]`"),
        (
            "width = 4",
            "memory_mib = 4",
            "line 15, `column.memory_mib` of `id`: expected one of `name`, `field`, `type`, `codes`, `total`, `optional`, \
             `width`, `starts_with`, `dictionary`, `comment`, found an unknown key\n    hint: write it above the first table, \
             such as `[[axis]]`",
        ),
        (
            "width = 4",
            "[lists.shift]\nmemory_mib = 4",
            "line 16, `lists.shift.memory_mib`: expected text, found 4\n    hint: write it above the first table, such as \
             `[[axis]]`",
        ),
        // Names that the descriptor chooses.
        ("width = 4", "[lists.reason]\n1 = 4", "line 16, `lists.reason.1`: expected text, found 4"),
        (
            "width = 4",
            "starts_with = { key = \"2\" }",
            "line 15, `column.starts_with.key` of `id`: expected 1 to 31 digits, found \"2\"",
        ),
    ] {
        assert_eq!(refused(&[(from, to)]), expected);
    }
}

#[test]
fn what_every_key_accepts_is_said_without_words_of_the_file_format() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/descriptor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (dataset, tables) = SMALL.split_once("[[axis]]").unwrap();
    let (axis, column) = tables.split_once("[[column]]").unwrap();
    let secret = "\nheader = \"x-key\"\nname = \"n\"";
    let tables = [("The dataset", dataset), ("`[[axis]]`", axis), ("`[[column]]`", column), ("`[secret]`", secret)];
    for (heading, _) in tables {
        for key in documented_keys(&text, heading) {
            // A value that no key accepts, in place of the one that is there.
            let mut changed = String::new();
            for (name, lines) in tables {
                let header = name.trim_matches('`');
                if header.trim_matches(['[', ']']) == key {
                    continue;
                }
                if header.starts_with('[') {
                    changed.push_str(header);
                }
                let others = lines.lines().filter(|line| name != heading || !line.starts_with(&format!("{key} = ")));
                changed.push_str(&(others.collect::<Vec<_>>().join("\n") + "\n"));
                if name == heading {
                    changed.push_str(&format!("{key} = 1970-01-01\n"));
                }
            }
            let message = Dataset::parse("x", &changed).unwrap_err().chain();
            let (_, found) = message.split_once(": expected ").unwrap();
            assert!(found.ends_with(", found 1970-01-01"), "{changed}{message}");
            for word in ["string,", "i64", "u8", "u16", "sequence", "map", "variant", "struct", "boolean"] {
                assert!(!found.contains(word), "{message}");
            }
        }
    }
}

/// Returns the keys that the first columns of the tables below a heading of a Markdown text list.
fn documented_keys<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(key, _)| key).collect()
}

#[test]
fn every_key_of_a_descriptor_is_documented_in_its_order() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/descriptor.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (heading, from, to) in [
        ("The dataset", "name = \"small\"", "nonsense = 1"),
        ("`[[axis]]`", "name = \"year\"", "nonsense = 1"),
        ("`[[column]]`", "name = \"id\"", "nonsense = 1"),
        ("`[secret]`", "[[axis]]", "secret = { nonsense = 1 }\n[[axis]]"),
    ] {
        let message = refused(&[(from, to)]);
        let expected = message.lines().next().unwrap().split_once("expected ").unwrap().1;
        let keys: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert!(keys.len() > 1, "{message}");
        assert_eq!(documented_keys(&text, heading), keys, "{heading}");
    }
}

#[test]
fn the_keys_that_belong_above_the_first_table_are_those_that_only_the_dataset_has() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/descriptor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let of = |heading| documented_keys(&text, heading);
    let of_tables = [of("`[[axis]]`"), of("`[[column]]`"), of("`[secret]`")].concat();
    let is_table = |key: &str| ["axis", "column", "secret", "lists"].contains(&key);
    let mut expected = of("The dataset");
    expected.retain(|key| !of_tables.contains(key) && !is_table(key));
    expected.sort_unstable();
    assert_eq!(crate::dataset::words::OF_DATASET.as_slice(), expected);
}

#[test]
fn a_table_cannot_have_the_name_of_a_view() {
    let found = refused(&[("table = \"small\"", "table = \"meps_labeled\"")]);
    assert_eq!(found, "line 7, `table`: expected a table that is not in use, found `meps_labeled`, the view of `meps`");
    let own = refused(&[("table = \"small\"", "table = \"small_labeled\"")]);
    assert_eq!(own, "line 7, `table`: expected a table that is not in use, found `small_labeled`, the view of `small`");
}

#[test]
fn mistakes_are_in_the_order_of_their_lines() {
    let found = refused(&[
        ("width = 4", "width = 40"),
        ("key = [\"id\"]", "key = [\"no\"]"),
        ("table = \"small\"", "table = \"S\""),
    ]);
    let lines: Vec<&str> = found.lines().skip(1).map(|line| line.split(',').next().unwrap().trim()).collect();
    assert_eq!(lines, ["- line 7", "- line 8", "- line 15"]);
}
