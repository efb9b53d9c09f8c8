//! The binary prints its address, and reports mistakes in its flags.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-simulator"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_first_line_is_the_address_and_sigterm_ends_the_process_silently() {
    let flags = ["--schools", "60", "--page-size", "7", "--rows-per-partition", "20", "--release", "1"];
    let mut child = binary().args(flags).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    let path = "/api/v1/schools/ccd/enrollment/2021/grade-pk/";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(
        reply.contains(&format!("\"next\":\"http://localhost:1{path}?page=2\"")),
        "links name the host that the client used"
    );
    assert_eq!(reply.matches("\"ncessch\"").count(), 7);
    assert!(reply.contains("{\"count\":20,"), "{reply:.300}");

    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_descriptor_that_cannot_be_read_or_parsed_is_reported_with_its_file() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dataset-{}.toml", std::process::id()));
    let message = || {
        let output = binary().arg("--dataset").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(message().starts_with(&format!("read descriptor `{}`: ", path.display())), "{}", message());
    fs::write(&path, "name = \"x\"\n").unwrap();
    let invalid = message();
    fs::remove_file(&path).unwrap();
    assert!(invalid.starts_with(&format!("parse descriptor `{}`: ", path.display())), "{invalid}");
    assert!(invalid.contains("missing field `title`"), "{invalid}");
}

#[test]
fn an_unknown_key_in_the_rules_is_reported_with_its_file() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rules-{}.toml", std::process::id()));
    fs::write(&path, "[[fault]]\nacton = \"html\"\n").unwrap();
    let output = binary().arg("--faults").arg(&path).output().unwrap();
    fs::remove_file(&path).unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.starts_with(&format!("parse fault rules `{}`: ", path.display())), "{message}");
    assert!(message.contains("unknown field `acton`"), "{message}");
}
