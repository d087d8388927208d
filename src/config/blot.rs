//! Blots secrets out of the text of a file, so that the line of an error can be shown.
//!
//! It works on the raw text, because it must also hold for a file that is no valid TOML. Of a profile file it shows only what
//! is known to be no secret: table headers, keys, and the values of the keys below. A misspelt `passwort` is hidden too.

use std::ops::Range;

/// Keys whose values may be shown, beside those that end in `_env`, `_file`, `_user` or `_url`.
const SHOWN: &[&str] = &[
    "type",
    "version",
    "fqdn",
    "username",
    "insecure_skip_verify",
    "allow_plain_http",
    "verify_ssl",
    "storage_class",
    "vddk_init_image",
    "endpoint_type",
    "clone_provider",
    "data_center",
    "user_domain_name",
    "region_name",
    "project_name",
    "user_domain_id",
    "project_domain_id",
    "storage_vendor_product",
    "datastore_id",
    "secondary_datastore_id",
    "non_xcopy_datastore_id",
    "default_vm_name",
    "storage_hostname",
    "storage_username",
    "storage_skip_ssl_verification",
    "ontap_svm",
    "vantara_storage_id",
    "vantara_storage_port",
    "vantara_hostgroup_id_list",
    "pure_cluster_prefix",
    "powerflex_system_id",
    "powermax_symmetrix_id",
    "esxi_clone_method",
    "esxi_host",
    "esxi_ssh_address",
    "esxi_ssh_host_key",
    "rdm_lun_uuid",
    "resource_pool",
    "dedicated_migration_hosts",
];

/// Words that make a value a secret wherever they stand in a line.
const SECRET_WORDS: &[&str] = &["password =", "password=", "passphrase", "secret =", "secret=", "token"];

/// What a file may show.
#[derive(Debug, Clone, Copy)]
pub enum Show<'a> {
    /// Only values of keys that are known to hold no secret: profile files.
    Harmless,
    /// Only values of these keys: settings, which hold no secrets, but people write some into the wrong file.
    Known(&'a [&'a str]),
    /// All but values of keys that sound like a secret: scenario files.
    Most,
}

impl Show<'_> {
    /// Whether a value may be shown.
    pub fn value(self, key: &str, value: &str) -> bool {
        // `https://user:password@host`
        let login = key.ends_with("_url") && value.contains('@');
        self.key(key) && !login
    }

    fn key(self, key: &str) -> bool {
        match self {
            Self::Harmless => SHOWN.contains(&key) || ["_env", "_file", "_user", "_url"].iter().any(|end| key.ends_with(end)),
            Self::Known(keys) => keys.contains(&key),
            Self::Most => !["password", "passphrase", "secret", "token"].iter().any(|word| key.contains(word)),
        }
    }
}

/// Stars that stand for a hidden value, however long it is.
const STARS: usize = 3;

/// The same text with each possible secret replaced by `***` and blanks; bytes keep their places and lines their ends. The number
/// of stars is the same for every secret, and [`super::diagnostics`] underlines no blanks, so that nobody can count its letters.
pub fn blot(text: &str, show: Show<'_>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut offset = 0;
    // Delimiter of a multi-line text that is still open.
    let mut open: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let hidden = if let Some(end) = open {
            open = open.filter(|_| !line.contains(end));
            0..line.len()
        } else {
            let value = line.split_once('=').map_or("", |(_, value)| value.trim_start());
            open = ["\"\"\"", "'''"].into_iter().find(|quote| value.strip_prefix(*quote).is_some_and(|rest| !rest.contains(*quote)));
            hidden(line, show)
        };
        let first = hidden.clone().find(|at| !bytes[offset + at].is_ascii_whitespace()).unwrap_or(hidden.end);
        for at in hidden {
            let byte = &mut bytes[offset + at];
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = if (first..first + STARS).contains(&at) { b'*' } else { b' ' };
            }
        }
        offset += line.len();
    }
    // Whole characters are replaced, so this is text again; lossy only as a precaution.
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// What to hide of a line: the value of a key that is not known to be harmless, or all of it.
fn hidden(line: &str, show: Show<'_>) -> Range<usize> {
    let all = 0..line.len();
    let Some(equals) = line.find('=') else {
        return if line.trim_start().starts_with('[') || matches!(show, Show::Most) { 0..0 } else { all };
    };
    let (key, value) = (line[..equals].trim(), line[equals + 1..].to_lowercase());
    let key = key.rsplit('.').next().unwrap_or_default().trim_matches(['"', '\'', ' ']);
    // `type = "ova", password = "…"`
    if show.value(key, &value) && !SECRET_WORDS.iter().any(|word| value.contains(word)) {
        return 0..0;
    }
    equals + 1..line.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        for (text, want) in [
            ("[provider.x]\npassword = \"abc\"\n", "[provider.x]\npassword = ***  \n"),
            ("password_env = \"ABC\"\n", "password_env = \"ABC\"\n"),
            ("guest_vm_linux_password=\"a b\"", "guest_vm_linux_password=***  "),
            ("username = \"u\"\npasswort = \"é\"\r\nversion = 1", "username = \"u\"\npasswort = *** \r\nversion = 1"),
            ("p = { username = \"u\", password = \"s\" }", "p = ***                               "),
            ("password = \"\"\"\ntype = 1\n\"\"\"\ntype = \"y\"", "password = ***\n***     \n***\ntype = \"y\""),
            ("password = 'abc", "password = *** "),
            ("password: abc", "***          "),
            ("\"password\" = \"abc\"", "\"password\" = ***  "),
            ("a.password = \"abc\"", "a.password = ***  "),
            ("api_url = \"https://u:p@h\"", "api_url = ***            "),
            ("api_url = \"https://h\"", "api_url = \"https://h\""),
            ("type = \"ova\", password = \"abc\"", "type = ***                    "),
        ] {
            assert_eq!(blot(text, Show::Harmless), want, "{text}");
        }
    }

    proptest! {
        /// Whatever the key, the quotes and the value look like, and whatever stands around it.
        #[test]
        fn a_secret_value_is_not_in_what_is_shown(
            key in "(guest_vm_linux_|storage_|a\\.)?(password|passwort|token|secret)|\"password\"",
            equals in " ?[=:] ?",
            quotes in 0_usize..7,
            first in "Zq[A-Za-z0-9]{4,8}",
            second in "Zw[A-Za-zé0-9]{4,8}",
            before in "(\\[provider\\.x\\]\n|username = \"u\"\n|# note\n)?",
            after in "(\ntype = \"ova\"|\r\nversion = 1| # note)?",
        ) {
            // What opens and closes the value, and what stands inside of it.
            let (open, close, inner) = [
                ("\"", "\"", ""),
                ("'", "'", " # "),
                ("\"", "\"", "\\\""),
                ("\"\"\"", "\"\"\"", "\n"),
                ("'''", "'''", "\n\""),
                ("", "", ""),
                ("\"", "", " "),
            ][quotes];
            let text = format!("{before}{key}{equals}{open}{first}{inner}{second}{close}{after}\n");
            let blotted = blot(&text, Show::Harmless);
            prop_assert!(!blotted.contains(&first) && !blotted.contains(&second), "{text} became {blotted}");
        }

        #[test]
        fn places_stay(text in "(\\PC|\n|password = |\"\"\"){0,60}") {
            let blotted = blot(&text, Show::Harmless);
            prop_assert_eq!(blotted.len(), text.len());
            prop_assert_eq!(blotted.matches('\n').count(), text.matches('\n').count());
        }
    }
}
