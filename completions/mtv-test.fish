# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mtv_test_global_optspecs
    string join \n v/verbose color= h/help V/version
end

function __fish_mtv_test_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mtv_test_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mtv_test_using_subcommand
    set -l cmd (__fish_mtv_test_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mtv-test -n "__fish_mtv_test_needs_command" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_needs_command" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -s V -l version -d 'Print version'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "run" -d 'Run scenarios: clone, migrate, verify, and clean up'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "list" -d 'List the scenarios that a run would take, with their steps and the reason of each skip'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "clean" -d 'Delete what a run left on the cluster and on the source'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "must-gather" -d 'Gather logs and objects of MTV, or of one of its plans'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "validate" -d 'Check scenario, provider profile and settings files without running anything'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "config" -d 'Show each setting with its value and where that comes from'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "lab" -d 'Run the simulated data centre'
complete -c mtv-test -n "__fish_mtv_test_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -s m -l marker -d 'Select scenarios by markers, such as `tier0 and not (warm or remote)`' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -s j -l jobs -d 'Scenarios to run at the same time [default: 4]' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l storage-class -d 'StorageClass to migrate all disks to [default: the cluster\'s]' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l results-dir -d 'Folder that gets a folder for each run [default: $ARTIFACT_DIR, or mtv-test-results]' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l junit-xml -l junitxml -d 'Write the JUnit report to this file as well' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l junit-detail -d 'Cases of the JUnit report: one per check of each VM, or one per step' -r -f -a "step\t'A case per step'
check\t'A case per step, and one per check of each VM'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l data-collector-path -d 'Folder for what is collected of failed scenarios [default: the run\'s own folder]' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l scenarios -d 'Folder with scenario files that add to the built-in ones, or replace those of the same name' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l provider -d 'Provider profile to migrate from' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l providers -d 'File with the provider profiles [default: providers.toml]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l settings -d 'Settings file [default: mtv-test.toml, if it exists]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l set -d 'Change a setting; `mtv-test config` shows all (can be repeated)' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l kubeconfig -d 'Kubeconfig file of the cluster; otherwise KUBECONFIG, ~/.kube/config, or the pod\'s own service account' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l context -d 'Context of the kubeconfig; otherwise its current one' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l datacenter -d 'Data centre that the lab simulates, as TOML [default: the built-in one]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l time-scale -d 'How much faster than reality time runs in the lab' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l allow-all-skipped -d 'End with exit code 0 although everything that was selected is skipped'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l skip-teardown -d 'Leave everything in place at the end'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l skip-data-collector -d 'Collect nothing when a scenario fails'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l analyze-with-ai -d 'Send the JUnit report of a failed run to an analysis service and keep its answer'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -l lab -d 'Run against the simulated data centre instead of a cluster and a source'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -s m -l marker -d 'Select scenarios by markers, such as `tier0 and not (warm or remote)`' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -s o -l output -d 'How to show them' -r -f -a "table\t'For people'
json\t'For programs: one object with everything known'
name\t'One name per line'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l scenarios -d 'Folder with scenario files that add to the built-in ones, or replace those of the same name' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l provider -d 'Provider profile to migrate from' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l providers -d 'File with the provider profiles [default: providers.toml]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l settings -d 'Settings file [default: mtv-test.toml, if it exists]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l set -d 'Change a setting; `mtv-test config` shows all (can be repeated)' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l older-than -d 'With --orphans: leave runs alone that made something within this time, by the cluster\'s clock' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l timeout -d 'Longest time for the whole clean-up, the first connections included' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l provider -d 'Provider profile to migrate from' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l providers -d 'File with the provider profiles [default: providers.toml]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l settings -d 'Settings file [default: mtv-test.toml, if it exists]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l set -d 'Change a setting; `mtv-test config` shows all (can be repeated)' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l kubeconfig -d 'Kubeconfig file of the cluster; otherwise KUBECONFIG, ~/.kube/config, or the pod\'s own service account' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l context -d 'Context of the kubeconfig; otherwise its current one' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l dry-run -d 'Read the cluster and the sources, show what would be deleted and restored, and change nothing'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l orphans -d 'Find what runs have left that are over, without their files; with --provider on the source too'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -l by-name -d 'For lists of mtv-api-tests: let the name alone prove whose an object is'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l plan -d 'Plan whose objects and logs are gathered' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l vm -d 'Only this VM of the plan, by its name or its id on the source' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l dest-dir -d 'Folder for what is gathered, new or empty [default: one below the results folder, or below data_collector_path]' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l provider -d 'Provider profile to migrate from' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l providers -d 'File with the provider profiles [default: providers.toml]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l settings -d 'Settings file [default: mtv-test.toml, if it exists]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l set -d 'Change a setting; `mtv-test config` shows all (can be repeated)' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l kubeconfig -d 'Kubeconfig file of the cluster; otherwise KUBECONFIG, ~/.kube/config, or the pod\'s own service account' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l context -d 'Context of the kubeconfig; otherwise its current one' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand must-gather" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand validate" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand validate" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -s o -l output -d 'How to show them' -r -f -a "table\t'For people'
json\t'For programs'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l scenarios -d 'Folder with scenario files that add to the built-in ones, or replace those of the same name' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l provider -d 'Provider profile to migrate from' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l providers -d 'File with the provider profiles [default: providers.toml]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l settings -d 'Settings file [default: mtv-test.toml, if it exists]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l set -d 'Change a setting; `mtv-test config` shows all (can be repeated)' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -f -a "serve" -d 'Run the lab until it is interrupted'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -f -a "datacenter" -d 'Print the built-in data centre'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and not __fish_seen_subcommand_from serve datacenter fault" -f -a "fault" -d 'Inject faults into a running lab'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l dir -d 'Folder for kubeconfig, providers.toml and lab.json; made if it is not there' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l port -d 'Port of the Kubernetes API on 127.0.0.1 [default: any free one]' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l apiserver -d 'Kubeconfig of a Kubernetes API server to use in place of the simulated one; it must be empty, and a kube-controller-manager must run beside it' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l roles -d 'Simulators to run, or, with a minus before each name, to leave out [default: all]' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l datacenter -d 'Data centre to simulate, as TOML [default: the built-in one]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l time-scale -d 'How much faster than reality time runs' -r
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l audit-log -d 'File for a log of all requests to the simulated Kubernetes API, in the form of kube-apiserver\'s audit log; values of Secrets are left out [default: no log]' -r -F
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from datacenter" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from datacenter" -l print -d 'Print it on stdout, which is all that this command does'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from datacenter" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from datacenter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -l dir -d 'Folder of the lab, as given to `lab serve`' -r -f -a "(__fish_complete_directories)"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -f -a "list" -d 'List the rules with the number of requests seen and affected'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -f -a "add" -d 'Add a rule, such as \'server = "kubernetes", verb = "create", effect = "status", status = 503, times = 2\''
complete -c mtv-test -n "__fish_mtv_test_using_subcommand lab; and __fish_seen_subcommand_from fault" -f -a "clear" -d 'Remove one rule, or all of them'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand completions" -l color -d 'Use colours' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mtv-test -n "__fish_mtv_test_using_subcommand completions" -s v -l verbose -d 'Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail'
complete -c mtv-test -n "__fish_mtv_test_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
