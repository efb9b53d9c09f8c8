//! The commands of the shell.

/// Commands, beside SQL.
pub(super) const COMMANDS: [(&str, &str); 6] = [
    (".tables", "list the tables and views"),
    (".describe", "describe a table: .describe TABLE"),
    (".queries", "list the shipped queries; a name runs one"),
    (".format", "print rows in another format: .format table, vertical, csv, json"),
    (".help", "show this list"),
    (".quit", "leave, as Ctrl-D does"),
];
