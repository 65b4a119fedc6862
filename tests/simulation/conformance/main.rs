//! What the product relies on at an API server, as cases that the simulated one and a real one pass alike.
//!
//! `cargo test --package tradingbot-simulation --test conformance` runs them against the simulated one. Against the test
//! cluster, where no operator runs: `make conformance`, minutes of waiting for what API servers do once a minute.

mod applies;
mod creates;
mod deletes;
mod faults;
mod garbage;
mod patches;
mod products;
mod puts;
mod reads;
mod watches;
mod world;

/// Makes two tests of every case: one against the simulated API server, one against the real one.
macro_rules! cases {
    ($($group:ident { $($case:ident,)+ })+) => {
        mod simulated {
            $(mod $group {
                $(#[tokio::test(start_paused = true)]
                async fn $case() {
                    let world = crate::world::World::simulated().await;
                    crate::$group::$case(&world).await;
                })+
            })+
        }

        mod real {
            $(mod $group {
                $(#[tokio::test]
                #[ignore = "needs the test cluster: `make cluster`"]
                async fn $case() {
                    let world = crate::world::World::real().await;
                    crate::$group::$case(&world).await;
                    world.end().await;
                })+
            })+
        }
    };
}

cases! {
    reads {
        what_is_not_there_is_not_found,
        a_list_has_a_version_and_says_once_what_its_items_are,
        labels_and_fields_select,
        a_list_comes_in_pages_of_one_version,
        metadata_alone_can_be_asked_for,
        a_version_in_the_past_will_do_and_one_in_the_future_will_not,
    }
    creates {
        a_new_object_gets_uid_time_and_version,
        a_name_is_taken_once,
        a_name_is_generated,
        what_has_no_name_or_another_place_is_refused,
        a_dry_run_stores_nothing,
        a_version_is_refused,
        a_status_is_set_by_its_subresource_alone,
        a_pod_needs_its_account,
        a_job_selects_its_own_pods,
        services_policies_and_cron_jobs_get_their_defaults,
        unknown_fields_and_empty_ones_are_not_stored,
        a_lease_counts_microseconds,
        events_have_two_forms,
    }
    puts {
        an_older_version_conflicts,
        without_a_version_only_some_kinds_are_replaced,
        what_changes_nothing_keeps_its_version,
        a_name_or_uid_of_another_object_is_refused,
        a_lease_that_is_gone_is_made_again_unless_its_uid_is_named,
        the_generation_counts_changes_of_the_contents,
        the_status_of_a_bot_is_written_apart,
        the_status_of_a_built_in_kind_takes_metadata_along,
    }
    patches {
        a_merge_sets_and_removes,
        a_merge_names_an_object_by_uid_or_version,
        a_patch_of_nothing_is_not_found,
        a_test_that_fails_changes_nothing,
        a_renewal_is_a_patch_that_tests,
        a_path_that_leads_nowhere_is_refused,
        what_cannot_be_read_is_refused,
        a_status_is_patched_apart,
    }
    applies {
        what_is_applied_is_made_and_then_left_alone,
        what_is_no_longer_applied_goes,
        what_others_set_stays,
        a_field_of_another_manager_conflicts_unless_forced,
        fields_are_owned_as_written_down,
        items_of_lists_are_merged_by_their_keys,
        an_apply_needs_a_manager_and_the_right_version,
        the_role_of_a_binding_cannot_change,
    }
    deletes {
        what_is_deleted_is_gone,
        preconditions_are_kept,
        a_finalizer_holds_an_object,
        a_pod_that_runs_nowhere_goes_at_once,
        a_pod_on_a_node_has_time_to_end,
        many_are_deleted_by_label,
    }
    garbage {
        dependents_go_with_their_owner,
        orphans_stay_and_forget_their_owner,
        an_owner_waits_for_its_dependents_in_the_foreground,
        what_names_an_owner_that_never_was_goes,
        one_owner_of_two_is_forgotten,
        a_job_lets_its_pods_be_unless_told_otherwise,
        a_namespace_goes_with_all_that_is_in_it,
    }
    watches {
        a_watch_tells_what_happens_from_a_version_on,
        a_watch_without_a_version_begins_with_what_is_there,
        what_is_no_longer_selected_is_told_as_deleted,
        one_object_is_watched_by_its_name,
        a_watch_ends_in_time_after_a_bookmark,
        metadata_alone_is_told,
        a_version_that_is_forgotten_is_told_as_an_error,
        a_list_can_be_streamed,
        a_watch_of_all_namespaces_sees_ours,
    }
    products {
        what_the_operator_applies_is_left_alone_by_defaults,
        a_role_is_set_on_the_very_pod,
        a_lease_is_granted_renewed_and_released,
    }
}
