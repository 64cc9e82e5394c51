"""The page as a reader meets it, in Chromium. Numbers are compared with the database's own."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from replaytree.bench.report import CHROMIUM_ARGUMENTS, synthetic_tree
from replaytree.report import theme, write_comparison, write_report
from replaytree.report.page import report_html
from replaytree.report.section import Section
from replaytree.report.sections import SECTIONS
from replaytree.tree import ReplayTree, record_model

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
SIZES = [(1400, 900), (390, 844)]


# How far the three large figures of the panel reach over its content, in pixels.
RIGHTMOST = """() => {
  const text = document.createRange();
  text.selectNodeContents(document.querySelector(".panel .big"));
  const panel = document.getElementById("panel"), style = getComputedStyle(panel);
  const left = panel.getBoundingClientRect().left + panel.clientLeft;
  const inside = left + panel.clientWidth - parseFloat(style.paddingRight);
  return Math.max(...[...text.getClientRects()].map((each) => each.right)) - inside;
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(page, database) of a search of some 500 nodes."""
    folder = tmp_path_factory.mktemp("site")
    tree = synthetic_tree(f"sqlite:///{folder}/tree.db", 400, depth=5)
    return write_report(tree, out=folder / "reports"), folder / "tree.db"


@pytest.fixture
def visit(browser):
    """Open a file; afterwards there were no errors, and nothing was asked of the network."""
    contexts, faults, requests = [], [], []

    def visit(path, *, size=SIZES[0], scheme="light", fragment="", drawn=True):
        context = browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri() + fragment)
        page.wait_for_selector("html[data-drawn]" if drawn else "html[data-ready]", state="attached")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def facts(page):
    return {element.get_attribute("data-fact"): element.inner_text() for element in page.locator("[data-fact]").all()}


def stored(database, node):
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(
            """select n.*, b.epochs, b.evaluation_count as at_budget, b.total_accuracy / b.evaluation_count as average,
                      (select max(accuracy) from evaluations e where e.node_id = n.id) as best
               from nodes n join node_budgets b on b.node_id = n.id where n.id = ? order by b.epochs desc""",
            (node,),
        )
        return dict(found.fetchone())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_every_figure_is_drawn_and_nothing_overflows(visit, site, size, scheme):
    page = visit(site[0], size=size, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    shown = page.locator("[data-figure]:visible").all()
    assert len(shown) >= 6
    assert all(figure.locator("svg.main-svg").count() for figure in shown)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(250, 250, 247)" if scheme == "light" else "rgb(18, 21, 24)")
    ink = page.locator("[data-figure=depth] .ytick text").first.evaluate("text => getComputedStyle(text).fill")
    assert ink == ("rgb(90, 100, 109)" if scheme == "light" else "rgb(155, 165, 172)")


def test_the_cell_that_the_heading_of_the_pairs_names_is_in_sight_on_a_narrow_screen(visit, site):
    page = visit(site[0], size=SIZES[1])
    heading = page.locator("h3", has_text="is the pair the best tenth ends with most").inner_text()
    before, after = heading.split(" is the pair")[0].split(" then ")
    figure = page.locator("[data-figure=follows]")
    figure.scroll_into_view_if_needed()
    assert before in figure.locator(".ytick text").all_text_contents()
    tick = next(each for each in figure.locator(".xtick text").all() if each.text_content() == after)
    box = tick.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= SIZES[1][0]


def test_a_section_that_no_script_knows_is_drawn(visit, data, tmp_path):
    bars = Section(
        name="visits",
        title="Visits",
        rows=lambda data: [node.visit_count for node in data.nodes],
        figure=lambda data, rows: theme.figure({"type": "bar", "y": rows}, height=200),
        finding=lambda data, rows: f"{sum(rows)} visits",
    )
    path = tmp_path / "index.html"
    path.write_text(report_html(data, sections=[*SECTIONS, bars]), encoding="utf-8")
    page = visit(path)
    page.click("nav >> text=Visits")
    assert page.locator("#visits .bars .point").count() == 6


def test_figures_follow_the_scheme_while_the_page_is_open(visit, site):
    page = visit(site[0])
    page.emulate_media(color_scheme="dark")
    tick = page.locator("[data-figure=depth] .ytick text").first
    page.wait_for_timeout(500)
    assert tick.evaluate("text => getComputedStyle(text).fill") == "rgb(155, 165, 172)"


def test_a_click_drills_down_and_the_panel_shows_what_the_database_holds(visit, site):
    page = visit(site[0])
    slices = page.locator("#icicle g.slice")
    before = slices.count()
    assert page.locator("#icicle").get_attribute("data-root") == ""
    slices.nth(1).click()
    page.wait_for_selector("#panel[data-node]:not([data-node=''])")
    node = page.locator("#panel").get_attribute("data-node")
    assert page.locator("#icicle").get_attribute("data-root") == node
    assert slices.count() != before
    row, found = stored(site[1], int(node)), facts(page)
    assert found == {
        "node": node,
        "path": row["path"],
        "visits": f"{row['visit_count']:,}",
        "evaluations": f"{row['evaluation_count']:,}",
        "budget, epochs": str(row["epochs"]),
        "evaluations at it": f"{row['at_budget']:,}",
        "parameters": f"{row['params']:,}",
        "FLOPs": f"{row['flops']:,}",
        "feature map": row["output_shape"].replace("x", "×"),
        "average accuracy": f"{row['average']:.4f}",
        "at least": f"{ReplayTree.open(f'sqlite:///{site[1]}', 'synthetic').node(int(node)).lower_bound:.4f}",
        "highest training": f"{row['best']:.4f}",
    }
    assert page.locator("#panel h3").inner_text() == row["labels"]
    # The padding of the panel is 16 pixels, which no figure or its name reaches into.
    assert page.evaluate(RIGHTMOST) <= 1.0
    commands = page.locator("#panel code").all_inner_texts()
    assert commands == [
        f"replaytree show synthetic {node} --storage sqlite:///{site[1]}",
        f"replaytree retrain synthetic --node {node} --storage sqlite:///{site[1]}",
        f"replaytree export synthetic --node {node} --format onnx --out synthetic-node{node}.onnx "
        f"--storage sqlite:///{site[1]}",
    ]
    # The leftmost slice leads back.
    slices.first.click()
    page.wait_for_selector("#icicle[data-root='']")


def test_every_accuracy_of_the_tree_is_that_of_the_database(visit, site):
    page = visit(site[0], drawn=False)
    shown = page.evaluate("columns.id.map((id, at) => [id, labelsOf(at), numberText(columns.average[at])])")
    with sqlite3.connect(site[1]) as connection:
        rows = connection.execute(
            "select n.id, n.labels, printf('%.4f', b.total_accuracy / b.evaluation_count) "
            "from nodes n join node_budgets b on b.node_id = n.id order by n.id"
        ).fetchall()
    assert [tuple(row) for row in shown] == rows


def test_the_filters_hide_layer_types_and_rare_nodes(visit, site):
    page = visit(site[0], drawn=False)
    with sqlite3.connect(site[1]) as connection:
        all_nodes = connection.execute("select count(*) from nodes").fetchone()[0]
        often = connection.execute("select count(*) from nodes where visit_count >= 5").fetchone()[0]
        kept = connection.execute(
            "select count(*) from nodes where visit_count >= 5 and labels not like '%conv%'"
        ).fetchone()[0]
    shown = page.locator("#shown")
    assert f"{all_nodes:,} of {all_nodes:,} nodes" in shown.inner_text()
    page.fill("#least", "5")
    assert f"{often:,} of {all_nodes:,} nodes" in shown.inner_text()
    page.click("#kinds [data-kind=conv]")
    assert f"{kept:,} of {all_nodes:,} nodes" in shown.inner_text()
    labels = page.locator("#icicle g.slice text").all_text_contents()
    assert labels
    assert not any(label.startswith("conv") for label in labels)


def test_the_search_box_finds_labels_indices_and_numbers(visit, site):
    page = visit(site[0], drawn=False)
    with sqlite3.connect(site[1]) as connection:
        node, path, labels = connection.execute(
            "select id, path, labels from nodes where depth = 3 order by visit_count desc, id limit 1"
        ).fetchone()
    for text in (labels, path, str(node)):
        page.click("#crumbs button >> nth=0")
        assert page.locator("#panel").get_attribute("data-node") == ""
        page.fill("#find", text)
        page.press("#find", "Enter")
        assert page.locator("#panel").get_attribute("data-node") == str(node)
    page.fill("#find", "no such layer")
    assert "No stored prefix" in page.locator("#found").inner_text()


def test_the_tree_can_be_walked_by_keyboard(visit, site):
    page = visit(site[0])
    page.focus("#icicle-stage")
    page.keyboard.press("ArrowRight")
    first = page.locator("#panel").get_attribute("data-node")
    page.keyboard.press("ArrowDown")
    second = page.locator("#panel").get_attribute("data-node")
    page.keyboard.press("ArrowUp")
    assert first != second
    assert page.locator("#panel").get_attribute("data-node") == first
    page.keyboard.press("Enter")
    assert page.locator("#icicle").get_attribute("data-root") == first
    page.keyboard.press("ArrowRight")
    child = page.locator("#panel").get_attribute("data-node")
    assert stored(site[1], int(child))["parent_id"] == int(first)
    page.keyboard.press("Backspace")
    assert page.locator("#icicle").get_attribute("data-root") == ""
    # Everything that can be clicked can be reached: from the top, Tab comes to the search box and to the panel.
    reached = set()
    page.evaluate("document.body.focus(); scrollTo(0, 0); document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
    assert {"find", "least", "kinds", "icicle-stage", "panel"} <= reached


def test_the_graph_is_a_second_view_whose_nodes_can_be_clicked(visit, site):
    page = visit(site[0])
    page.click("[data-view=network]")
    points = page.locator("[data-figure=network] .points path")
    points.nth(points.count() // 2).click(force=True)
    page.wait_for_selector("#panel[data-node]:not([data-node=''])")
    assert page.locator("#icicle-stage").is_hidden()


def test_a_mark_of_the_trade_offs_is_a_node_that_can_be_clicked(visit, site):
    page = visit(site[0])
    figure = page.locator("[data-figure=params]")
    figure.scroll_into_view_if_needed()
    # The last mark of the last trace: the end of the Pareto front, the best prefix.
    figure.locator(".points path").last.click(force=True)
    page.wait_for_selector("#panel[data-node]:not([data-node=''])")
    best = ReplayTree.open(f"sqlite:///{site[1]}", "synthetic").best(1)[0]
    assert page.locator("#panel").get_attribute("data-node") == str(best.node_id)
    page.wait_for_function("document.getElementById('tree').getBoundingClientRect().top < innerHeight / 2")


def test_an_address_can_name_a_node(visit, site):
    page = visit(site[0], fragment="#node=3", drawn=False)
    assert page.locator("#panel").get_attribute("data-node") == "3"


def test_a_watched_page_reloads_without_losing_its_place(visit, tmp_path):
    tree = synthetic_tree(f"sqlite:///{tmp_path}/tree.db", 200, depth=4)
    path = write_report(tree, out=tmp_path, refresh_seconds=3600)
    page = visit(path)
    page.fill("#least", "2")
    page.fill("#find", "conv")
    page.locator("#panel .children button").first.click()
    node = page.locator("#panel").get_attribute("data-node")
    page.click("summary")
    page.evaluate("scrollTo({top: 700, behavior: 'instant'})")
    page.evaluate("keep()")
    page.reload()
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert page.locator("#panel").get_attribute("data-node") == node
    assert page.input_value("#least") == "2"
    assert page.input_value("#find") == "conv"
    assert page.locator("details").first.get_attribute("open") is not None
    assert page.evaluate("scrollY") == 700


@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_the_first_picture_marks_the_best_prefix(visit, grow, training, tmp_path, size):
    red = "[...document.querySelectorAll('#icicle path.surface')].filter((s) => s.style.stroke === 'rgb(214, 32, 60)')"
    accuracies = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    others = [training((1,), 0.1) for _ in range(3)]
    six = grow([training((0, 1, 0, 1, 0, 2), *accuracies), *others], "six", max_layers=12)
    page = visit(write_report(six, out=tmp_path), size=size)
    drawn = 6 if size[0] > 1000 else 5
    assert page.evaluate(f"{red}.length") == drawn
    said = page.locator("#where-best").inner_text()
    if drawn == 6:
        assert said == "The best prefix has 6 layers; its path has a red border."
    else:
        assert said.startswith("The best prefix has 6 layers; the drawing shows 5 of its path, with a red border.")
    page.click("#show-best")
    best = page.locator("#panel").get_attribute("data-node")
    assert stored(tmp_path / "tree.db", int(best))["depth"] == 6
    assert "its path has a red border" in page.locator("#where-best").inner_text()


def test_a_rare_best_prefix_is_no_part_of_the_thin_rest(visit, grow, training, tmp_path):
    often = [training((1, 1), 0.1, 0.2) for _ in range(400)]
    page = visit(write_report(grow([*often, training((0, 2), 0.5, 0.9)]), out=tmp_path))
    assert page.evaluate("slices.filter((slice) => bestPath.has(slice.place)).length") == 2


def test_nothing_waits_to_be_drawn_when_the_page_is_printed(visit, site):
    page = visit(site[0])
    page.evaluate("figureElements().forEach((element) => { Plotly.purge(element); delete element.dataset.drawn; })")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown = page.locator("[data-figure]:visible").all()
    assert len(shown) >= 6
    assert all(figure.get_attribute("data-drawn") == "true" for figure in shown)


def test_commands_have_copy_buttons_and_are_shown_whole(visit, site):
    for size in SIZES:
        page = visit(site[0], size=size)
        codes = page.locator("code[data-command]").all()
        assert {"show", "resume"} <= {code.get_attribute("data-command") for code in codes}
        for code in codes:
            button = code.locator("xpath=following-sibling::button")
            assert button.inner_text() == "Copy"
            assert button.get_attribute("aria-label") == f"Copy: {code.inner_text()}"
            assert code.evaluate("code => code.scrollWidth <= code.clientWidth"), "nothing of it is cut"
            assert "\n" not in code.text_content()
            # A line breaks between words, and within those alone that are longer than a line.
            for word in code.locator(".word").all():
                box = word.bounding_box()
                assert box["height"] < 25 or box["width"] > 0.6 * code.bounding_box()["width"]


# What is wider than its box, but for what nobody scrolls: drawings.
CUT = """
[...document.querySelectorAll("body *")]
  .filter((e) => !e.closest("svg") && e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .filter((e) => getComputedStyle(e).overflowX !== "visible")
  .map((e) => [e.className, e.tabIndex, getComputedStyle(e).backgroundImage.split("linear-gradient").length - 1,
               e.getAttribute("aria-label")])
"""


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_only_tables_and_matrices_scroll_sideways_and_a_shade_says_so(visit, site, width):
    page = visit(site[0], size=(width, 900))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = page.evaluate(CUT)
    assert all(kind in ("scroll", "matrix") for kind, *_ in found), found
    assert ("scroll" in [kind for kind, *_ in found]) == (width == 390), "the next best have seven columns"
    for _, tab, shades, label in found:
        # With the keyboard, too; two shades, and the ground that covers them at the ends.
        assert (tab, shades) == (0, 4)
        assert label.endswith("; may scroll sideways")


def test_the_table_of_retrained_models_is_no_wider_than_the_page(visit, grow, golden, tmp_path):
    tree = grow(golden)
    best = tree.best(1)[0]
    record_model(
        tree.engine, labels=best.labels, seed=0, epochs=90, test_accuracy=0.5, test_image_count=400, search=tree.name,
        node_id=best.node_id, weights_path=f"/users/someone/with/a long name/{'w' * 90}/first-seed0.safetensors",
    )  # fmt: skip
    page = visit(write_report(tree, out=tmp_path), size=(1280, 900))
    wide = page.evaluate("[...document.querySelectorAll('.scroll')].map((e) => e.scrollWidth - e.clientWidth)")
    assert wide
    assert max(wide) <= 0


def test_names_with_markup_are_text(visit, grow, golden, named, tmp_path):
    mark = "<img/src=x/onerror=document.title='owned'></script><script>document.title='owned'</script>"
    tree = named(grow(golden, labels=(mark, "<b>bold</b>", "res1"), config={"dataset": mark}), mark)
    page = visit(write_report(tree, out=tmp_path / "reports"))
    page.locator("#icicle g.slice").nth(1).click()
    page.wait_for_selector("#panel[data-node='1']")
    assert page.locator("#panel h3").inner_text() == mark
    assert "owned" not in page.title().split(" · ")[-1]
    assert page.locator("img, b:text-is('bold')").count() == 0
    assert mark in page.locator("header").inner_text()


def test_the_comparison_is_drawn(visit, grow, golden, training, tmp_path):
    trees = [grow(golden, "a"), grow(golden, "b", seed=8), grow([training((0,), 0.5)], "luck")]
    for size in SIZES:
        page = visit(write_comparison(trees, out=tmp_path), size=size)
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.locator("[data-figure] svg.main-svg").count() >= 2
