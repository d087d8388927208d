//! The vSphere client against a real server: govmomi's vcsim, with govc as a second client that prepares and checks.
//!
//! The programs come from `tests/servers/build`; see CONTRIBUTING.md. Each test has a server of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clones;
mod disks;
mod front;
mod lookups;
mod lost_answers;
mod operations;
mod sessions;
mod support;
mod trust;

use std::process::ExitCode;

use mtv_testkit::{assets, async_cases, suite::Suite};

fn main() -> ExitCode {
    Suite::new()
        .with(
            assets::missing(&["vcsim", "govc"]),
            async_cases![
                clones::a_clone_is_off_marked_and_has_its_own_address,
                clones::a_clone_for_warm_migration_tracks_changed_blocks,
                clones::a_template_is_cloned_into_the_pool_of_its_hosts_cluster,
                clones::a_taken_name_is_refused_and_stays_as_it_was,
                clones::a_broken_source_is_refused_with_the_reason,
                clones::an_esxi_host_can_be_read_but_cannot_clone,
                clones::an_endpoint_is_what_its_profile_says,
                clones::a_whole_scenario_takes_at_most_thirty_requests,
                disks::added_disks_have_size_mode_and_layout,
                disks::ten_disks_find_room_on_the_controllers,
                disks::disks_go_to_other_datastores_and_into_folders,
                disks::what_does_not_exist_is_named_with_what_does,
                disks::thick_disks_that_cannot_fit_are_refused_before_anything_is_made,
                disks::a_lun_of_the_host_is_mapped_and_a_foreign_one_refused,
                lookups::names_that_exist_are_found_and_others_left_out,
                lookups::a_missing_vm_is_answered_with_similar_names,
                lookups::a_name_that_two_vms_have_is_refused_with_their_paths,
                lookups::five_thousand_vms_cost_three_requests_per_look_up,
                lost_answers::nobody_listens,
                lost_answers::somebody_else_answers,
                lost_answers::reading_is_tried_again,
                lost_answers::a_clone_whose_answer_was_lost_is_found_and_not_made_twice,
                lost_answers::a_clone_request_that_is_always_lost_leaves_nothing,
                lost_answers::a_foreign_vm_of_the_clones_name_is_not_adopted,
                lost_answers::a_wait_survives_lost_answers,
                lost_answers::operations_that_may_run_twice_are_sent_again,
                lost_answers::a_snapshot_is_not_taken_twice,
                lost_answers::silence_ends_with_the_deadline,
                operations::power_goes_on_and_off_and_twice_is_once,
                operations::guest_information_is_awaited_until_address_and_tools_are_there,
                operations::waiting_for_the_guest_of_a_vm_that_goes_ends_with_an_error,
                operations::a_description_agrees_with_govc,
                operations::snapshots_of_all_branches_are_described,
                operations::a_running_vm_is_deleted_and_one_that_is_gone_is_no_error,
                operations::many_tasks_at_a_time_share_a_session,
                sessions::login_takes_three_requests_and_names_the_server,
                sessions::a_wrong_password_is_said_without_saying_it,
                sessions::one_new_login_serves_all_who_meet_the_end_of_a_session,
                sessions::a_description_survives_the_end_of_a_session,
                sessions::a_wait_survives_the_end_of_its_session,
                trust::a_ca_file_makes_the_endpoint_trusted_and_goes_to_forklift,
                trust::an_unknown_certificate_is_named_with_two_ways_on,
                trust::a_certificate_for_another_name_is_refused,
                trust::verification_is_off_where_the_user_says_so,
                trust::a_ca_file_without_certificates_is_said,
            ],
        )
        .run()
}
