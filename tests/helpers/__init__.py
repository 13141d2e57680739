"""What tests and benchmarks share. Nothing here is a test; no test imports another one.

tiny, one_run, making       encoders, trainings and texts that are made in a moment
features, squad_files       features and raw files likewise
studies, every_arm          studies to plan; one with every arm
measured                    a measurement of speed that nobody made
step_records, begun_study   records that nobody ran; a store in the middle of a study
far_store, forgetting        a store without a server that is no folder; a step as if it had not run
whole_study, command        a study run in this process; the command line in one of its own
reading, shared_files       raw files read, the real ones among them
answer_rules, adversarial   scorers' rules written a second time; inputs that hit their corners
s3_server, locked_s3        an object store of one's own, behind a network that can fail
azure_server, gcs_server    others, to the same end
racers                      two writers who want the same files
ray_head                    a Ray cluster of one's own
layout_worker, gang_worker  processes that tests start
"""
