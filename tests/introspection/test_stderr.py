import pytest

from asyncunit.introspection.tracebacks import print_all, printing_at_interrupt, report_on_stderr


def test_an_error_is_printed_with_the_scope_that_closed(capsys):
    report_on_stderr("class example", ValueError("boom"))
    assert capsys.readouterr().err == "asyncunit: error while the scope 'class example' closed:\nValueError: boom\n"


def test_errors_that_were_collected_are_printed_at_ctrl_c_and_only_then(capsys):
    errors = []
    with pytest.raises(KeyboardInterrupt), printing_at_interrupt("class example", errors):
        errors.append(ValueError("boom"))
        raise KeyboardInterrupt
    assert "ValueError: boom" in capsys.readouterr().err
    with pytest.raises(KeyError), printing_at_interrupt("class example", errors):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_all_of_several_are_printed(capsys):
    print_all("session", [ValueError("a"), ValueError("b")])
    assert capsys.readouterr().err.count("ValueError") == 2
