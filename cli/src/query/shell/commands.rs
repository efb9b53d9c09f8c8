//! The commands of the shell.

/// Commands, beside SQL.
pub(super) const COMMANDS: [(&str, &str); 5] = [
    (".tables", "list the tables and views"),
    (".describe", "describe a table: .describe TABLE"),
    (".queries", "list the shipped queries; a name runs one"),
    (".help", "show this list"),
    (".quit", "leave, as Ctrl-D does"),
];
