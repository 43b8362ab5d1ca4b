"""What of the compiler's report counts as wrong in the dashboard's JavaScript."""

from scripts.js_types import wrong

UNTYPED = "frontend/lib/a.js(1,2): error TS7006: Parameter 'x' implicitly has an 'any' type."
MISSPELT = "frontend/lib/b.js(3,4): error TS2339: Property 'palete' does not exist on type '{ palette: string; }'."
UNFIT = (
    "frontend/lib/c.js(5,6): error TS2322: Type 'string' is not assignable to type 'Kind'.\n"
    "  Types of property 'kind' are incompatible."
)


def test_parameters_may_go_without_a_type() -> None:
    assert wrong(f"{UNTYPED}\n") == []
    assert wrong("d.js(1,1): error TS7053: Element implicitly has an 'any' type.\n  No index signature.\n") == []


def test_everything_else_counts_with_all_its_lines() -> None:
    assert wrong("\n".join([UNTYPED, MISSPELT, UNTYPED, UNFIT, UNTYPED])) == [MISSPELT, *UNFIT.splitlines()]


def test_a_complaint_about_the_configuration_counts() -> None:
    assert wrong("error TS18003: No inputs were found in config file 'tsconfig.json'.") != []
