//! The scripts with which shells ask the program.

use clap::ValueEnum;
use clap_complete::env::Shells;

use crate::completions::VARIABLE;

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Line of the script for bash, before which the words are joined.
const ASKS: &str = "    COMPREPLY=( $( \\\n";
/// Line of the script for bash, before which the answers are shortened.
const ANSWERED: &str = "    if [[ $? != 0 ]]; then\n        unset COMPREPLY\n";

/// Joins words: bash splits `--flag=value` into three. Sets `prefix` to what it takes for other words than the last one.
const JOIN: &str = r#"    [[ "${COMP_WORDS[COMP_CWORD]}" == "=" ]] && words[COMP_CWORD]="="
    local i joined=() prefix=""
    for ((i = 0; i < ${#words[@]}; i++)); do
        if ((i > 1)) && [[ "${words[i]}" == "=" || "${words[i - 1]}" == "=" ]]; then
            joined[${#joined[@]} - 1]+="${words[i]}"
        else
            joined+=("${words[i]}")
        fi
        if ((i == COMP_CWORD)); then
            _CLAP_COMPLETE_INDEX=$((${#joined[@]} - 1))
            local current="${joined[_CLAP_COMPLETE_INDEX]}"
            [[ "$current" == *=* ]] && prefix="${current%"${current##*=}"}"
        fi
    done
    words=("${joined[@]}")
"#;

/// Keeps the exit code for the line after it.
const SHORTEN: &str = r#"    local code=$?
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    if [[ $code != 0 ]]; then
        unset COMPREPLY
"#;

/// Returns the script for a shell.
pub(crate) fn script(shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    let name = shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| anyhow::anyhow!("complete in {name}: not supported"))?;
    completer.write_registration(VARIABLE, "rollcall", "rollcall", "rollcall", &mut script)?;
    let script = String::from_utf8(script)?;
    Ok(match shell {
        Shell::Bash => script.replace(ASKS, &format!("{JOIN}{ASKS}")).replace(ANSWERED, SHORTEN),
        _ => script,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_for_bash_joins_words_and_shortens_answers() {
        let script = script(Shell::Bash).unwrap();
        assert!(script.contains(JOIN) && script.contains(SHORTEN), "{script}");
    }
}
