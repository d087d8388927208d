//! What a test wants to go wrong: answers that come late, with a fault, or not at all.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::fault::Fault;

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Effect {
    /// The answer comes later by this time, which is not scaled.
    Delay(Duration),
    /// The method is not carried out and answers with this fault.
    Fault(Fault),
    /// The connection is closed without an answer; the method is not carried out.
    Drop,
    /// The method is carried out, but the connection is closed before the answer.
    DropAnswer,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Method, such as `CloneVM_Task`.
    pub method: String,
    /// moRef value of the object that the method is called on; none: any.
    pub object: Option<String>,
    /// How many requests it is for; none: all.
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

/// The rules, in order; the first one that fits a request is applied.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Takes away all rules.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What happens to this request; counts it.
    pub fn effect(&self, method: &str, object: &str) -> Option<Effect> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = rules.iter().position(|r| r.method == method && r.object.as_deref().is_none_or(|o| o == object))?;
        let rule = rules.get_mut(at)?;
        let effect = rule.effect.clone();
        if let Some(times) = &mut rule.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                rules.remove(at);
            }
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_for_its_method_and_number_of_times() {
        let faults = Faults::default();
        faults.add(Rule { method: "CloneVM_Task".to_owned(), object: None, times: Some(2), effect: Effect::Drop });
        assert!(faults.effect("PowerOnVM_Task", "vm-101").is_none());
        assert!(faults.effect("CloneVM_Task", "vm-101").is_some());
        assert!(faults.effect("CloneVM_Task", "vm-102").is_some());
        assert!(faults.effect("CloneVM_Task", "vm-101").is_none());
    }
}
