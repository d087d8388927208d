//! The SSH client of the tool against a real OpenSSH server, and the real OpenSSH client against the lab's guests.
//!
//! Needs sshd, ssh and ssh-keygen (Debian: openssh-server); see CONTRIBUTING.md.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lab_guests;
mod server;
mod support;

use std::process::ExitCode;

use mtv_testkit::{async_cases, suite::Suite};

fn main() -> ExitCode {
    Suite::new()
        .with(
            support::missing(),
            async_cases![
                lab_guests::a_key_logs_in_and_commands_answer,
                lab_guests::passwords_log_in_by_both_methods_and_wrong_ones_do_not,
                lab_guests::windows_answers_too,
                lab_guests::no_terminal_and_no_subsystem,
                server::keys_of_every_kind_log_in,
                server::an_unknown_key_and_what_is_no_key_are_refused,
                server::a_password_logs_in,
                server::a_wrong_password_and_an_unknown_user_are_refused,
                server::commands_give_their_status_and_both_outputs,
                server::a_command_that_reads_sees_that_there_is_no_input,
                server::a_command_ended_by_a_signal_has_no_status,
                server::a_megabyte_arrives_whole_and_more_is_an_error,
                server::a_silent_command_is_waited_for,
                server::a_connection_that_drops_is_an_error_not_an_empty_answer,
                server::a_server_that_hangs_up_is_no_refusal,
            ],
        )
        .run()
}
