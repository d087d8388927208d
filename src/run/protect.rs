//! Refuses a cluster that the settings protect, before anything is created there.

use mtv_api::kinds::{self, Kind};

use crate::{
    cluster::{Cluster, ObjectExt as _},
    config::protect::{Rule, Subject},
    diagnosis::{Diagnosis, Id},
    engine::Failure,
};

/// Checks all rules. Reads only what they ask for; what a rule asks for and cannot be read counts as protected.
pub async fn check(cluster: &Cluster, rules: &[Rule]) -> Result<(), Failure> {
    refuse_if(rules, Subject::ApiHost, &[cluster.host().to_owned()])?;
    let wanted = |subject| rules.iter().find(|rule| rule.subject == subject);
    if let Some(rule) = wanted(Subject::ClusterId) {
        let version = text(cluster, rule, &kinds::CLUSTER_VERSION, "version", "/spec/clusterID").await?;
        let system = cluster.get(&kinds::NAMESPACE, None, "kube-system").await.map_err(|error| unknown(rule, &error))?;
        let ids: Vec<String> = version.into_iter().chain(system.and_then(|s| s.metadata.uid)).collect();
        if ids.is_empty() {
            return Err(unknown(rule, &anyhow::anyhow!("neither a ClusterVersion nor a namespace kube-system is there")));
        }
        refuse_if(rules, Subject::ClusterId, &ids)?;
    }
    if let Some(rule) = wanted(Subject::InfrastructureName).or_else(|| wanted(Subject::ApiHost)) {
        let url = text(cluster, rule, &kinds::INFRASTRUCTURE, "cluster", "/status/apiServerURL").await?;
        let internal = text(cluster, rule, &kinds::INFRASTRUCTURE, "cluster", "/status/apiServerInternalURI").await?;
        let hosts: Vec<String> = [url, internal].into_iter().flatten().filter_map(|url| host(&url)).collect();
        refuse_if(rules, Subject::ApiHost, &hosts)?;
        let name = text(cluster, rule, &kinds::INFRASTRUCTURE, "cluster", "/status/infrastructureName").await?;
        refuse_if(rules, Subject::InfrastructureName, &Vec::from_iter(name))?;
    }
    Ok(())
}

/// A text of an object; none where the cluster has no such object, as on other Kubernetes.
async fn text(cluster: &Cluster, rule: &Rule, kind: &'static Kind, name: &str, pointer: &str) -> Result<Option<String>, Failure> {
    let object = cluster.get(kind, None, name).await.map_err(|error| unknown(rule, &error))?;
    Ok(object.as_ref().and_then(|o| o.text(pointer)).filter(|text| !text.is_empty()).map(str::to_owned))
}

fn host(url: &str) -> Option<String> {
    url.parse::<http::Uri>().ok()?.host().map(str::to_owned)
}

fn refuse_if(rules: &[Rule], subject: Subject, values: &[String]) -> Result<(), Failure> {
    for rule in rules.iter().filter(|rule| rule.subject == subject) {
        if let Some(value) = values.iter().find(|value| rule.means(value)) {
            let mut trouble =
                Diagnosis::new(Id::ClusterProtected, format!("the cluster is protected by {rule}: its {} is {value}", subject.key()))
                    .hint("nothing was created; choose another cluster, or have the rule changed by whoever wrote it");
            if let Some(reason) = &rule.reason {
                trouble = trouble.cause(format!("reason: {reason}"));
            }
            return Err(Failure::Errored(trouble));
        }
    }
    Ok(())
}

fn unknown(rule: &Rule, error: &anyhow::Error) -> Failure {
    Failure::Errored(
        Diagnosis::new(Id::ClusterProtected, format!("the rule {rule} cannot be checked, so the cluster counts as protected"))
            .cause(format!("{error:#}"))
            .hint("give the login the right to read it; nothing was created"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(subject: Subject, pattern: &str) -> Rule {
        Rule { subject, pattern: pattern.to_owned(), reason: Some("customers".to_owned()), file: "s.toml".into(), line: 7 }
    }

    #[test]
    fn a_refusal_names_the_rule_and_its_place() {
        let rules = [rule(Subject::ClusterId, "x"), rule(Subject::ApiHost, "api.prod.*")];
        let Err(Failure::Errored(trouble)) = refuse_if(&rules, Subject::ApiHost, &["API.prod.example.com".to_owned()]) else {
            panic!("it is not refused");
        };
        assert!(trouble.summary.contains("protect.api_host = \"api.prod.*\" (s.toml:7)"), "{}", trouble.summary);
        assert_eq!(trouble.causes, ["reason: customers"]);
        assert!(refuse_if(&rules, Subject::ApiHost, &["x".to_owned()]).is_ok(), "a rule looks at its own subject only");
    }
}
