"""python -m tests.faults writes docs/faults.md: each fault, its outcome, and the tests that cause the
fault and check the outcome; and what is said of folders of pictures that cannot be used.

A row without a test, or with a test that does not exist, is an error.
"""

import ast
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gen_jax.run.experiment import EXIT_CODES
from tests.data import test_bad_folders as bad_folders

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
KEPT = Path(__file__).with_name("printed.txt")  # the last output of the three long commands
TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 or SIGUSR2 during training, evaluation, "
        "sampling or compilation",
        "the run is saved within a few seconds, for any `--run.log-every`, with exit code 128 + N; "
        "the same command "
        "resumes it to a bit-identical end; a SIGHUP is ignored under nohup",
        (
            "run/test_train::test_signals_and_kills_leave_the_same_run",
            "run/test_train::test_stopped_in_the_middle_of_a_line_it_is_written_as_if_nothing_had_happened",
            "run/test_programs::test_a_chunk_is_of_some_seconds_whatever_a_line_is",
            "faults/test_signals::test_a_signal_in_any_phase_ends_the_run_saved",
            "faults/test_machine::test_each_signal_that_asks_a_run_to_end_saves_it_within_seconds",
            "faults/test_machine::test_hangup_is_ignored_where_the_user_says_so",
        ),
    ),
    (
        "Ctrl-C before a run starts",
        "exit code 130 and a one-line message",
        ("faults/test_machine::test_ctrl_c_before_a_run_begins_is_one_sentence",),
    ),
    (
        "SIGKILL at any time, also during a save",
        "the same command resumes from the last good checkpoint, or starts again if the first save "
        "had not finished, to a bit-identical end",
        (
            "run/test_train::test_signals_and_kills_leave_the_same_run",
            "run/test_train::test_killed_between_the_checkpoint_and_its_line",
            "run/test_train::test_killed_before_the_first_save_is_sealed",
            "faults/test_sweep::test_a_run_that_is_killed_over_and_over_ends_as_one_that_is_not",
        ),
    ),
    (
        "a crash at any system call of a save that changes a file",
        "the previous step or this step is restored intact",
        ("faults/test_saves::test_a_crash_at_each_call_of_a_save_leaves_the_step_before_or_this_one",),
    ),
    (
        "a file of a checkpoint changed, truncated, emptied, removed or exchanged, or its seal "
        "edited",
        "the SHA-256 detects it; the newest older good step is used, and one line names the file "
        "and the reason; if no "
        "step is good, exit code 74 and no new start",
        (
            "run/test_checkpoint::test_any_damage_to_any_file_falls_back_one_step_and_says_why",
            "run/test_checkpoint::test_a_whole_step_under_another_name_is_refused",
            "run/test_checkpoint::test_an_extra_file_is_not_part_of_a_checkpoint",
            "run/test_checkpoint::test_a_seal_that_holds_other_things_is_passed_over",
            "run/test_checkpoint::test_the_same_damage_again_and_again",
            "run/test_checkpoint::test_where_all_are_bad_nothing_starts_afresh",
            "faults/test_silence::test_a_step_under_another_name_is_none",
            "faults/test_damages::test_each_experiment_names_what_is_not_finite_and_recovers_from_any_damage",
            "faults/test_damages::test_whatever_happened_the_newest_whole_step_comes_back",
        ),
    ),
    (
        "no space on the disk for a checkpoint or another file, or a limit on file size",
        "exit code 74 with the reason, the file and, for a checkpoint, the newest complete one; "
        "the run can be resumed "
        "when there is space",
        (
            "faults/test_machine::test_a_disk_that_is_full_is_one_sentence_and_the_run_goes_on_when_there_is_room",
            "faults/test_machine::test_what_a_machine_refuses_is_one_sentence",
            "run/test_events::test_events_that_cannot_be_written_are_an_error_that_names_them",
            "faults/test_saves::test_no_room_for_a_checkpoint_is_told_and_the_run_goes_on_when_there_is",
            "run/test_checkpoint::test_a_place_that_cannot_be_written_is_named",
        ),
    ),
    (
        "checkpoints that cannot be written or listed, or whose directory is a dangling link",
        "exit code 74 immediately, and no new start: existing checkpoints stay, and the run can be "
        "resumed from them",
        ("faults/test_machine::test_checkpoints_that_cannot_be_reached_end_a_run_at_once_and_stay",),
    ),
    (
        "a loss, gradient or weight that is not finite",
        "exit code 70 with the step, the losses and the first affected weight; the last good "
        "checkpoint is kept",
        (
            "run/test_train::test_what_is_not_finite_is_named_with_its_step_and_the_last_checkpoint_is_kept",
            "run/test_train::test_a_weight_that_is_not_finite_is_not_saved",
            "faults/test_damages::test_each_experiment_names_what_is_not_finite_and_recovers_from_any_damage",
            "faults/test_values::test_a_rate_that_is_absurd_ends_with_a_sentence",
            "run/test_seeds::test_the_seed_that_diverges_is_named",
            "evaluation/test_joint_embedding::test_what_did_not_learn_is_refused_and_what_is_damaged_is_learnt_again",
        ),
    ),
    (
        "images that are all equal, or of one class",
        "the run completes, and undefined metrics are null; training with labels needs enough "
        "images of each class",
        ("faults/test_values::test_images_all_alike_and_one_class_leave_numbers_or_a_sentence",),
    ),
    (
        "data that are damaged, of a wrong shape or type, not finite, out of range, or too few",
        "rejected before the first step, with the file, the field and the expected values, "
        "whatever the manifest contains",
        (
            "faults/test_values::test_values_that_a_set_cannot_have_are_refused_whatever_its_manifest_says",
            "data/catalog/test_store::test_damaged_files_are_named",
            "data/catalog/test_store::test_damaged_manifests_are_named",
            "data/catalog/test_formats::test_idx_refuses",
            "data/catalog/test_formats::test_cifar_refuses",
            "data/catalog/test_tfds_recipes::test_a_picture_that_is_torn_is_no_picture",
            "data/test_pipeline::test_a_batch_larger_than_the_data_is_refused",
        ),
    ),
    (
        "a download that fails, hangs or has changed",
        "no partial file is left, and no other data are used",
        (
            "data/catalog/test_sets::test_readers_that_fail_leave_nothing",
            "data/catalog/test_sets::test_verify_compares_with_the_known_hashes_too",
            "data/catalog/test_fetch::test_a_client_that_is_missing_or_hangs",
        ),
    ),
    (
        "a bad value of any field, from code, the command line or a file",
        "exit code 2 and a message with the field and its valid values, before a device is "
        "initialised",
        (
            "faults/test_every_field::test_each_bad_value_of_each_field_is_refused_by_name",
            "faults/test_every_field::test_each_bad_value_of_a_file_is_refused",
            "test_config::test_bad_arguments_end_with_2_and_a_sentence",
            "test_config::test_help_names_presets_and_exit_codes_and_starts_no_device",
            "faults/test_machine::test_what_a_machine_refuses_is_one_sentence",
        ),
    ),
    (
        "incompatible fields",
        "exit code 2 and a message that names both, and no directory is left",
        (
            "experiments/test_cyclegan::test_a_game_without_aims_is_refused",
            "experiments/test_cyclegan::test_domains_are_cut_alike_and_drawn_apart",
            "experiments/test_puzzlegan::test_weights_fall_log_linearly_by_epochs",
            "experiments/test_text2image::test_a_side_above_the_loaded_one_is_refused",
            "experiments/test_aae::test_the_prior_is_scaled_and_any_sampler_can_be_added",
            "run/test_seeds::test_what_cannot_be_side_by_side_is_refused",
        ),
    ),
    (
        "a device that does not exist, too little memory, too few open files, an unsupported JAX "
        "setting",
        "exit code 69, 71 or 2 and a one-line message; no other device is used",
        ("faults/test_machine::test_what_a_machine_refuses_is_one_sentence",),
    ),
    (
        "a terminal that is lost, blocked, closed or ASCII; umask 077; files with future "
        "timestamps; no docstrings",
        "the run continues, and log.txt has all messages",
        ("faults/test_machine::test_a_terminal_ends_no_run",),
    ),
    (
        "compiled programs in the cache exchanged, truncated or emptied",
        "the SHA-256 detects it, and they are compiled again; programs in a "
        "`JAX_COMPILATION_CACHE_DIR` of your own are "
        "not checked",
        ("faults/test_machine::test_programs_that_were_exchanged_in_the_cache_are_not_used",),
    ),
    (
        "cached classifiers, embeddings and features damaged, or computed by other code or from "
        "other data",
        "they are computed again, and one line gives the reason",
        (
            "storage/test_cache::test_a_damaged_file_is_not_used",
            "storage/test_cache::test_what_was_made_of_something_else_is_not_used",
            "storage/test_cache::test_sources_are_those_that_are_imported",
            "evaluation/test_joint_embedding::test_what_did_not_learn_is_refused_and_what_is_damaged_is_learnt_again",
            "evaluation/test_classifier::test_training_is_a_function_of_its_arguments",
            "evaluation/test_classifier::test_what_another_code_trained_is_not_used",
        ),
    ),
    (
        "a user without a home directory",
        "exit code 2 and a message that names the variables to set",
        (
            "storage/test_cache::test_a_user_without_a_home_is_told_what_to_set",
            "faults/test_machine::test_what_a_machine_refuses_is_one_sentence",
        ),
    ),
    (
        "a different number of devices when a run is resumed",
        "the state is the same, later steps are equal up to rounding, and one line reports it",
        (
            "run/test_train::test_saved_on_one_device_and_resumed_on_eight_and_back",
            "run/test_parallel::test_a_divided_state_learns_as_a_whole_one_and_is_resumed_as_one_and_back",
        ),
    ),
    (
        "two writers in one run directory, even if its lock was removed",
        "the second ends with exit code 75",
        (
            "run/test_train::test_two_writers",
            "faults/test_silence::test_one_writer_even_where_files_are_removed_and_none_where_the_directory_is_gone",
            "faults/test_silence::test_a_file_is_locked_where_a_directory_cannot_be",
        ),
    ),
    (
        "a run directory that is moved, removed or replaced during training",
        "exit code 73 at the next line or save, and nothing is written under the old name",
        (
            "faults/test_silence::test_a_directory_that_goes_while_a_run_learns_ends_it",
            "run/test_checkpoint::test_a_directory_that_is_moved_during_a_save_has_nothing_under_its_old_name",
        ),
    ),
    (
        "seeds side by side of which one is new or has lost its checkpoints, while others are "
        "further",
        "rejected, and nothing is lost; after a kill between their saves, all go back to a common "
        "step",
        (
            "run/test_seeds::test_a_seed_that_is_new_beside_others_is_refused_and_nothing_is_lost",
            "run/test_seeds::test_a_seed_that_went_on_alone_is_not_taken_back_beyond_its_checkpoints",
            "run/test_seeds::test_stopped_seeds_go_on_together_even_where_one_was_saved_later",
            "run/test_seeds::test_a_run_of_this_seed_under_another_name_is_told",
        ),
    ),
    (
        "seeds side by side, each with its own labelled images",
        "each is trained on the same ones as when it runs alone",
        ("faults/test_silence::test_seeds_side_by_side_know_of_the_data_what_each_knows_alone",),
    ),
    (
        "one of several processes is lost",
        "the others end; when all are started again, they resume to a bit-identical end",
        ("run/test_hosts::test_where_one_process_is_lost_the_other_ends_and_both_go_on",),
    ),
    (
        "an error while data are gathered",
        "the error is raised; the run does not hang",
        ("data/test_pipeline::test_what_fails_while_it_is_gathered_ends_the_stream",),
    ),
    (
        "a directory that cannot be created, or is not a directory",
        "exit code 73 and a one-line message",
        (
            "run/test_train::test_a_directory_that_cannot_be_made_ends_with_73",
            "storage/test_files::test_a_place_that_is_no_folder_is_named",
        ),
    ),
    (
        "hostile files: a pickle in an array file or as weights, a huge header, a truncated gzip, "
        "archive members "
        "outside the target folder, links in an archive, and decompression bombs",
        "rejected; no code in them is run, and nothing is written elsewhere",
        (
            "pretrained/formats/test_pickles::test_a_hostile_pickle_is_refused_and_nothing_runs",
            "data/catalog/test_formats::test_dsprites_refuses_a_hostile_header",
            "data/catalog/test_formats::test_idx_refuses_a_torn_gzip",
            "data/catalog/test_fetch::test_members_that_lead_outside",
            "data/catalog/test_fetch::test_links_and_devices_are_not_followed",
            "data/catalog/test_fetch::test_faulty_archives",
        ),
    ),
    (
        "a random key that is used twice",
        "no experiment does this; every key is typed, so that reuse can be detected",
        (
            "faults/test_keys::test_no_experiment_uses_a_key_twice",
            "faults/test_keys::test_no_evaluation_folds_a_number_into_a_key_twice",
            "faults/test_keys::test_no_run_uses_a_key_twice",
            "faults/test_keys::test_keys_are_typed",
        ),
    ),
    (
        "a different environment, other packages or JAX settings, or changed code when a run is "
        "resumed",
        "one line for each changed setting that affects bit-identity, and one that names each "
        "changed source file; "
        "with `--run.strict` the run is rejected; the random number generator is pinned",
        (
            "faults/test_silence::test_changed_code_is_told_by_file_and_refused_where_strict",
            "faults/test_silence::test_the_code_of_a_run_is_this_package_and_what_lies_beside_the_experiment",
            "faults/test_silence::test_each_setting_of_jax_that_may_change_a_number_is_told",
            "run/test_train::test_each_thing_that_bit_identity_needs_and_that_is_another_is_told",
            "faults/test_keys::test_which_random_numbers_a_key_gives_is_pinned",
            "run/test_train::test_saved_on_one_device_and_resumed_on_eight_and_back",
        ),
    ),
    (
        "a checkpoint of an older release",
        "it is restored bit for bit, and its samples are the same",
        (
            "faults/test_old_runs::test_the_checkpoint_of_a_release_is_read_and_draws_the_same",
            "run/test_parallel::test_a_run_that_is_older_than_a_field_is_resumed",
        ),
    ),
    (
        "a different config, data set or network in the directory of an existing run",
        "rejected, with each field or weight that differs and, for data, both SHA-256",
        (
            "faults/test_silence::test_another_data_set_is_refused_with_both_hashes",
            "faults/test_silence::test_another_config_that_was_tried_in_vain_is_not_taken_for_the_run",
            "run/test_train::test_another_config_in_the_same_directory_is_refused_with_its_fields",
            "run/test_train::test_a_damaged_config_is_read_strictly",
            "run/test_checkpoint::test_another_tree_is_refused_by_its_path",
        ),
    ),
    (
        "another number of steps, or another interval of lines or checkpoints, for an existing run",
        "the run goes on: bit for bit like one that had them from the start, or one line for each "
        "learning rate or objective that was planned over the former number, which config.json and "
        "the page keep; no more steps than were trained are refused with exit code 2",
        (
            "run/test_lengths::test_more_steps_give_the_run_that_had_them_from_the_start",
            "run/test_lengths::test_intervals_may_change_and_each_step_has_one_line",
            "run/test_lengths::test_a_plan_over_all_steps_is_named_and_then_that_of_the_new_number",
            "run/test_lengths::test_no_more_steps_than_were_trained_are_refused",
            "run/test_lengths::test_a_kill_before_the_first_new_checkpoint_loses_nothing",
            "run/test_lengths::test_a_line_that_a_kill_left_out_is_written_under_another_interval",
        ),
    ),
    (
        "a start from networks of another run that is missing or changed, or does not fit",
        "exit code 2 and a message with the first array or network that differs, and no directory "
        "is left; a run that was saved goes on without the other run",
        (
            "run/test_initial::test_what_does_not_fit_is_one_sentence_and_leaves_no_directory",
            "run/test_initial::test_a_resume_needs_no_other_run_and_another_start_is_another_run",
            "run/test_initial::test_a_run_that_was_not_saved_begins_again_at_the_same_weights_or_not_at_all",
        ),
    ),
    (
        "a checkpoint of another run, such as another seed, in the directory of a run",
        "skipped, with the fields that differ",
        ("faults/test_silence::test_a_checkpoint_of_another_seed_is_passed_over",),
    ),
    (
        "files left by a killed save; a finished run that is started again",
        "the files are deleted; nothing is done twice",
        (
            "run/test_checkpoint::test_a_save_that_was_killed_is_swept_away",
            "test_experiments::test_stopped_and_resumed_equals_straight_through_bit_for_bit",
        ),
    ),
    (
        "lines of metrics.jsonl that were cut off, written before a kill, removed, changed or "
        "reordered",
        "each logged step has one line at the end; missing lines are reported and restored from "
        "the checkpoint; if all "
        "checkpoints were removed, the run starts from scratch, reports it, and keeps the old "
        "lines in another file",
        (
            "faults/test_silence::test_lines_that_are_gone_are_told_and_restored",
            "faults/test_silence::test_the_last_line_is_that_of_its_checkpoint",
            "faults/test_silence::test_lines_that_go_while_a_run_learns_are_written_anew",
            "faults/test_silence::test_lines_without_a_checkpoint_are_not_dropped_in_silence",
            "run/test_train::test_a_torn_last_line_is_written_again",
            "run/test_train::test_the_journal_drops_what_will_be_written_again",
        ),
    ),
    (
        "parts of a run directory removed, truncated or replaced by another kind of file",
        "created again, left out of the page with a note, or a one-line error; checkpoints stay",
        (
            "faults/test_leftovers::test_a_part_that_is_removed_is_made_again_or_left_out",
            "faults/test_leftovers::test_a_picture_that_is_torn_is_left_out_with_a_note",
            "faults/test_leftovers::test_what_is_of_another_kind_is_one_sentence",
            "faults/test_leftovers::test_the_command_of_a_run_is_quoted_for_a_shell",
            "report/test_page::test_damage_is_one_sentence",
            "report/test_page::test_a_damaged_picture_is_one_sentence",
        ),
    ),
    (
        "a claim with only two runs, or runs with a large spread",
        "no verdict for fewer than three seeds; agreement requires the interval to be inside the "
        "tolerance of the claim",
        ("report/test_page::test_verdicts", "report/test_page::test_more_noise_never_makes_runs_agree"),
    ),
    (
        "a long run",
        "it uses no more files or threads than a short run, no more memory except for its lines, "
        "and opens no port",
        ("faults/test_growth::test_nothing_grows", "faults/test_growth::test_what_grows_is_told",
         "faults/test_growth::test_an_open_port_is_seen"),
    ),
    (
        "a package that differs from the locked one",
        "it is not installed",
        (
            "faults/test_supply::test_a_file_that_was_changed_is_not_installed",
            "faults/test_supply::test_every_requirement_is_locked_by_hash",
        ),
    ),
    (
        "a run of a study fails, or the study is stopped or killed, or a result is damaged",
        "the other runs are played, and the failure is named, also by `--list`; the same command "
        "goes on to the same results; a damaged result is named",
        (
            "study/test_study::test_a_study_plays_on_past_a_failure_and_plays_nothing_twice",
            "study/test_study::test_a_study_that_is_stopped_goes_on_to_the_same_end",
            "study/test_study::test_a_damaged_result_is_named",
        ),
    ),
    (
        "the time of a SLURM job of a study ends",
        "the run is saved and put back into the queue, and goes on",
        ("study/test_submit::test_what_is_saved_before_the_time_ends_goes_on",),
    ),
)  # fmt: skip


@functools.cache
def functions(module: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def page() -> str:
    """Return the page in Markdown. Raises ValueError for a row without a test."""
    lines = [
        "# Faults and their outcomes",
        "",
        "`python -m tests.faults` writes this page from a table next to the tests. Every row must "
        "have a test.",
        "Each test causes a real fault: it sends signals, kills processes, damages files or fills "
        "a disk.",
        "",
        "`python -m tests.faults.sweep --kills N` kills each experiment N times at random,",
        "`python -m tests.faults.damages` damages each file of a checkpoint of each experiment in "
        "six ways, and",
        "`python -m tests.faults.growth` monitors a long run. Their output:",
        "",
        "```",
        *KEPT.read_text(encoding="utf-8").splitlines(),
        "```",
        "",
        *EXIT_CODES.strip().splitlines()[2:],
        "",
        "| Fault | Outcome | Tests |",
        "|---|---|---|",
    ]
    for fault, then, tests in TABLE:
        if not tests:
            raise ValueError(f"no test for the fault {fault!r}")
        for test in tests:
            module, name = test.split("::")
            if name not in functions(module):
                raise ValueError(
                    f"tests/{module}.py has no {name}, the test for the fault {fault!r}"
                )
        each = (test.split("::") for test in tests)
        shown = "<br>".join(
            f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{of}.py)"
            for of, name in each
        )
        lines.append(f"| {fault} | {then} | {shown} |")
    return "\n".join([*lines, *folders()]) + "\n"


def folders() -> Iterator[str]:
    """Yield the lines about folders of pictures, each of which is made and given to the command."""
    yield "\n## Folders of pictures\n"
    yield "What `python -m gen_jax.data NAME` says of bad folders, as `python -m tests.faults` heard it."
    yield "Nothing is prepared. [Each is tested](../tests/data/test_bad_folders.py).\n"
    yield "| Given | NAME | Said | Exit code |"
    yield "|---|---|---|---|"
    for case, (options, *_) in bad_folders.BAD.items():
        with tempfile.TemporaryDirectory() as where:
            said, code = bad_folders.answer(case, Path(where))
        yield f"| {case} | `folder:PATH{options}` | {said} | {code} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
