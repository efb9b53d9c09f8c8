//! `rollcall man`: manual pages, one for each command.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::exit::BadInput;
use crate::help;

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for the pages; it is created
    folder: PathBuf,
}

/// Writes the pages.
///
/// - `program`: the definition of the command line.
pub(crate) fn run(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let version = program.get_version().unwrap_or_default().to_owned();
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let written = std::fs::create_dir_all(folder).and_then(|()| write_pages(&program, None, &version, folder));
    written.map_err(|error| BadInput(format!("write `{}`: {error}", folder.display())))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of those below it.
///
/// - `above`: the name of the page of the command above.
fn write_pages(command: &Command, above: Option<&str>, version: &str, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let below: Vec<&Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    for command in &below {
        write_pages(command, Some(&name), version, folder)?;
    }
    let man = Man::new(command.clone()).source(format!("rollcall {version}")).manual("rollcall manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if !below.is_empty() {
        man.render_subcommands_section(&mut page)?;
    }
    let path = name.strip_prefix("rollcall").unwrap_or_default().replace('-', " ");
    write_lines(&mut page, "EXAMPLES", &help::examples(path.trim()))?;
    if above.is_none() {
        write_lines(&mut page, "EXIT STATUS", help::exit_codes())?;
    }
    let pages = below.iter().filter_map(|below| below.get_display_name()).chain(above);
    let pages: Vec<String> = pages.map(|page| format!(".BR {} (1)", escaped(page))).collect();
    write!(page, ".SH \"SEE ALSO\"\n{}\n", pages.join(",\n"))?;
    std::fs::write(folder.join(man.get_filename()), page)
}

/// Writes a section of lines that stay as they are, unless there are none.
fn write_lines(page: &mut Vec<u8>, section: &str, lines: &str) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    // No line begins with a dot or a quote, which would make it a request: each is indented.
    writeln!(page, ".SH \"{section}\"\n.nf\n{}\n.fi", escaped(lines))
}

/// Returns text in which backslashes and hyphens are themselves, so that a command can be copied.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
