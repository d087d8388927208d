//! What the binary prints, as transcripts: `tests/cli/*.trycmd`, each run in a copy of the folder `*.in` beside it.
//! `TRYCMD=overwrite cargo test --test cli` writes them anew.

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .case("tests/cli/*.trycmd")
        // Nothing of the developer's own surroundings may show: cluster, settings, width of the terminal.
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", "")
        .env("KUBERNETES_SERVICE_HOST", "")
        .env("ARTIFACT_DIR", "")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1");
}
