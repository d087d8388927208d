//! Our client, their server.

use mtv_test::{
    config::profile::GuestLogin,
    guest::{Ssh, SshError},
    secrets::Secret,
};

use crate::support::{Server, User, me};

async fn session(server: &Server) -> Ssh {
    Ssh::connect_with_key(server.connect(), &me(), &server.key("ed25519")).await.unwrap()
}

fn refused<T>(result: Result<T, SshError>) -> bool {
    matches!(result, Err(SshError::Refused(_)))
}

pub async fn keys_of_every_kind_log_in() {
    let Some(server) = Server::new() else { return };
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let ssh = Ssh::connect_with_key(server.connect(), &me(), &server.key(kind)).await.unwrap();
        assert_eq!(ssh.run("echo in").await.unwrap().stdout, "in\n", "{kind}");
        ssh.close().await;
    }
}

pub async fn an_unknown_key_and_what_is_no_key_are_refused() {
    let Some(server) = Server::new() else { return };
    assert!(refused(Ssh::connect_with_key(server.connect(), &me(), &server.key("unknown")).await));
    let nonsense = Secret::new("no key at all");
    let error = Ssh::connect_with_key(server.connect(), &me(), &nonsense).await.err().unwrap();
    assert!(!error.to_string().contains("no key at all"), "{error}");
}

pub async fn a_password_logs_in() {
    let Some(server) = Server::new() else { return };
    let Some(user) = User::new() else { return };
    let login = GuestLogin { user: user.name.clone(), password: user.password.clone() };
    let ssh = Ssh::connect(server.connect(), &login).await.unwrap();
    assert_eq!(ssh.run("id -un").await.unwrap().stdout.trim(), user.name);
    let wrong = GuestLogin { password: Secret::new("wrong"), ..login };
    assert!(refused(Ssh::connect(server.connect(), &wrong).await));
}

pub async fn a_wrong_password_and_an_unknown_user_are_refused() {
    let Some(server) = Server::new() else { return };
    for user in [me(), "nobody-of-that-name".to_owned()] {
        let login = GuestLogin { user: user.clone(), password: Secret::new("wrong") };
        assert!(refused(Ssh::connect(server.connect(), &login).await), "{user}");
    }
}

pub async fn commands_give_their_status_and_both_outputs() {
    let Some(server) = Server::new() else { return };
    let ssh = session(&server).await;
    let output = ssh.run("echo out; echo err >&2; exit 3").await.unwrap();
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (Some(3), "out\n", "err\n"));
    // One session carries many commands, also at the same time.
    let (first, second) = tokio::join!(ssh.run("echo first"), ssh.run("echo second"));
    assert_eq!((first.unwrap().stdout.as_str(), second.unwrap().stdout.as_str()), ("first\n", "second\n"));
}

pub async fn a_command_that_reads_sees_that_there_is_no_input() {
    let Some(server) = Server::new() else { return };
    let output = session(&server).await.run("cat; read line || echo nothing").await.unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (Some(0), "nothing\n"));
}

pub async fn a_command_ended_by_a_signal_has_no_status() {
    let Some(server) = Server::new() else { return };
    let output = session(&server).await.run("echo before; kill -TERM $$").await.unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (None, "before\n"));
}

pub async fn a_megabyte_arrives_whole_and_more_is_an_error() {
    let Some(server) = Server::new() else { return };
    let ssh = session(&server).await;
    let output = ssh.run("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end >&2").await.unwrap();
    assert_eq!(output.status, Some(0));
    assert_eq!(output.stdout.len(), 1_000_001);
    assert!(output.stdout.trim_end().bytes().all(|b| b == b'x'));
    assert_eq!(output.stderr, "end\n");
    let error = ssh.run("head -c 10000000 /dev/zero | tr '\\0' x >&2").await.unwrap_err();
    assert!(matches!(&error, SshError::Connection(why) if why.contains("printed more than 1 MiB")), "{error}");
}

/// Longer than the interval of the probes that find a dead connection (10 s): a silent command is not a dead one.
pub async fn a_silent_command_is_waited_for() {
    let Some(server) = Server::new() else { return };
    let output = session(&server).await.run("sleep 12; echo done").await.unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (Some(0), "done\n"));
}

pub async fn a_connection_that_drops_is_an_error_not_an_empty_answer() {
    let Some(server) = Server::new() else { return };
    // The parent of the command is the session's own process of sshd.
    let result = session(&server).await.run("echo half; kill -KILL $PPID; sleep 60").await;
    let Err(SshError::Connection(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("kill -KILL"), "{message}");
}

pub async fn a_server_that_hangs_up_is_no_refusal() {
    let (here, there) = tokio::io::duplex(64);
    drop(there);
    let result = Ssh::connect(here, &GuestLogin { user: me(), password: Secret::new("x") }).await;
    assert!(matches!(result, Err(SshError::Connection(_))));
}
