//! The CI files that people take over: they are what the vendors' schemas say, and use only what the harness has.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(root().join(name)).unwrap()).unwrap()
}

/// What the schema in `file` has against `value`.
fn faults(file: &str, value: &Value) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("xtask/testdata/ci").join(file)).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn github_workflow_is_valid() {
    let workflow = yaml(".github/workflows/patchproof.yml");
    assert_eq!(faults("github-workflow.json", &workflow), [""; 0]);
    let mut wrong = workflow;
    wrong["jobs"]["part"]["steps"][0]["use"] = "actions/checkout@v4".into();
    assert_ne!(faults("github-workflow.json", &wrong), [""; 0]);
}

#[test]
fn gitlab_pipeline_is_valid() {
    let pipeline = yaml(".gitlab-ci.yml");
    assert_eq!(faults("gitlab-ci.json", &pipeline), [""; 0]);
    let mut wrong = pipeline;
    wrong["part"]["artifacts"]["when"] = "sometimes".into();
    assert_ne!(faults("gitlab-ci.json", &wrong), [""; 0]);
}

#[test]
fn input_of_the_workflow_is_never_part_of_a_command() {
    let workflow = yaml(".github/workflows/patchproof.yml");
    for job in workflow["jobs"].as_object().unwrap().values() {
        for step in job["steps"].as_array().unwrap() {
            let run = step["run"].as_str().unwrap_or_default();
            assert!(!run.contains("${{"), "{run}");
        }
    }
}
