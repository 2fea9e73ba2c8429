"""What happens in an open scope, and in which order.

The life of one test, from the runner's first call to its report. On the left is who calls; indented is what that does.
"a step" is awaited in the test's own task: the loop runs until it is done, and stands still between two steps. What is
sync is called outside the loop, in the same context.

    unittest's suite (cases/suite.py)                      pytest (pytest_plugin/items.py, async_run.py)
    ─────────────────────────────────                      ─────────────────────────────────────────────
    setUpModule    opens session, package, module          pytest_runtest_setup
      wide fixtures of the first class     a step each       opens the scopes around the item
      setUpModule as written; asyncSetUpModule   a step      each fixture in pytest's order         a step
    setUpClass     opens the class
      fixtures that all of the class uses  a step each
      setUpClass as written; asyncSetUpClass     a step
    ─────────────────────────────────
    test.run       StepsInScope (cases/protocol.py)        pytest_pyfunc_call
    │ _callSetUp                                             FunctionTest.call (pytest_plugin/run.py)
    │   RunningTest.open        opens the test's scope         opens the test's scope
    │     OpenTest.begin          what it leaves from now on is its own
    │   fixtures of the test                 a step each
    │   setUp; asyncSetUp                         a step
    │   fixtures that the test names         a step each
    │ _callTestMethod
    │   the test itself                           a step      the test itself                           a step
    │     ├─ next_step: what is async and stands together are steps of one run of the loop, until one fails: the set-up
    │     │  of fixtures, asyncSetUp, the test, asyncTearDown, the tear-down of fixtures. What came of a test that was
    │     │  run with its set-up is kept (`came_of_test`), until unittest asks for it here
    │     └─ END_TASK: nothing is left to be run in the task, so it ends in that run of the loop, too
    │ _callTearDown                                          pytest_runtest_teardown
    │   asyncTearDown; tearDown              a step each       each fixture in pytest's order         a step
    │ doCleanups
    │   cleanups, the last registered first  a step each
    │   tear-downs of fixtures, the last first    a step
    │   OpenTest.close                                         OpenTest.close
    │     the task ends; the loop is set as it was before the test
    │     checks (checks/scope_end.py): what was left is ended, and told: a warning, or an error of this test
    │     a loop that was closed, or that something refuses to leave, is replaced
    │     a loop of the test's own is closed; the scope is left
    └ the report
    ─────────────────────────────────
    tearDownClass, tearDownModule, the end of the run      pytest's finalizers of class, module, package, session
      AsyncScope.tear_down, the sync hook, cleanups, fixtures; then the checks; then the loop, where the scope owns it

What ends a test early does so in this order, whatever it was:

    a timeout, a deadlock     the step is cancelled; its error stands in the place of the cancellation
    a cancellation            goes through what the test has entered, as through nested ``async with`` (`cut_short`)
    what a wider scope holds  has crashed: the test is cancelled, then `unwind` takes the wider scopes down
    a signal handler raises   that step alone ends by it; the tear-down follows
    Ctrl-C                    as a cancellation; then all open scopes are closed; after the second, nothing more is

What is carried from one call to the next:

    ScopeTask.cancellation    the cancellation that goes through what the scope has entered, or what became of it
    OpenScope.untold          errors of the scope that are still to be reported; `close` returns what nobody has taken
    LoopRunner.broken         the scope tasks whose wider scope was cancelled; `unwind` empties it
    LoopRunner.stubborn       tasks that refuse to end: the loop is replaced at the end of the test, or of the scope
    RunningTest.came_of_test  what the test has returned or raised, where it was run with its set-up
    Interrupt.is_deferred     a Ctrl-C that came between two steps: raised before the next, or when the call is over
"""
