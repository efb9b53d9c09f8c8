//! Applies fault rules to the sequence of requests.

use crate::fault::{Action, Fault};

/// The active rules, each with the number of requests that matched it.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<(Fault, u64)>);

impl Script {
    pub(crate) fn new(faults: Vec<Fault>) -> Script {
        Script(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    /// Counts a request, and returns the actions that apply to it, in the order of the rules.
    pub(crate) fn next_actions(&mut self, path: &str, page: Option<u64>) -> Vec<Action> {
        let mut actions = Vec::new();
        for (fault, n_matched) in &mut self.0 {
            let is_matched = fault.path.as_ref().is_none_or(|text| path.contains(text))
                && fault.page.is_none_or(|wanted| page == Some(wanted));
            if !is_matched {
                continue;
            }
            *n_matched += 1;
            let from = fault.from.max(1);
            let end = fault.times.map_or(u64::MAX, |times| from.saturating_add(times));
            if (from..end).contains(n_matched) {
                actions.push(fault.action.clone());
            }
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_applies_only_to_requests_in_its_window() {
        let rule = Fault::new(Action::Html).on_path("pk").on_page(2).starting_at(2).times(2);
        let mut script = Script::new(vec![rule]);
        let mut n_faults = |path: &str, page| script.next_actions(path, page).len();
        assert_eq!(n_faults("grade-k", Some(2)), 0);
        assert_eq!(n_faults("grade-pk", Some(1)), 0);
        assert_eq!([2, 2, 2, 2].map(|page| n_faults("grade-pk", Some(page))), [0, 1, 1, 0]);
    }
}
