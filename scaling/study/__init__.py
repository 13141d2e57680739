"""What is asked: a study file, its arms and recipes, and the plan of steps that follows from them.

    study.py     the study file, validated whole
    arms.py      what happens in phase ii
    mixture.py   trainings of several tasks, and how their updates are drawn
    recipes.py   the numbers of a training, with their sources
    family_recipes.py  starting numbers of families other than XLM-R, and how well they are known
    lora.py      what an adapter is asked to be
    collapse.py  when a training has collapsed, by its own record alone
    question.py  choices of the analysis, fixed before the data
    identity.py  identity to hash; the lock file
    terms.py     licence, source and citation of data and models
    steps.py     steps, cells, plan: the types
    plan.py      study and lock to plan
    part.py      a part of a plan, by model, arm, target and seed
    flops.py     model FLOPs of a step

May import `spec` and `catalogue`. Pure: nothing here reads or writes a store.
"""
