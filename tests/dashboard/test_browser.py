"""The dashboard as a browser sees it: Debian's Chromium, headless, driven by selenium."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from conftest import run
from dashboard.conftest import Shown, serving

from hw1.job import Job
from hw1.optuna_store.storage import artifact_folder

pytest.importorskip("selenium", reason="a browser test needs selenium: pip install selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="a browser test needs Chromium: apt-get install chromium chromium-driver",
)
PATIENCE_SECONDS = 60
"""How long a page may take on a machine that has much else to do."""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """A browser for which evil.example is this machine."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new",
        "--no-sandbox",  # without which it does not start as root
        "--disable-dev-shm-usage",  # containers have little of it
        "--window-size=1400,1200",
        "--host-resolver-rules=MAP evil.example 127.0.0.1",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service(DRIVER))
    driver.set_script_timeout(PATIENCE_SECONDS)
    yield driver
    driver.quit()


def wait(browser: webdriver.Chrome, condition: Callable[[webdriver.Chrome], Any]) -> Any:
    return WebDriverWait(browser, PATIENCE_SECONDS).until(condition)


def text(browser: webdriver.Chrome) -> str:
    return str(browser.execute_script("return document.body?.innerText ?? ''"))


def delete(browser: webdriver.Chrome, path: str) -> Any:
    """The status and content that the open page gets when it deletes something."""
    script = """
        const [path, done] = arguments;
        fetch(path, {method: "DELETE"}).then(async r => done([r.status, await r.text()]));
    """
    return browser.execute_async_script(script, path)


def test_a_study_its_trial_and_the_image_of_it(browser: webdriver.Chrome, shown: Shown) -> None:
    with serving(shown) as server:
        browser.get(server.url)
        wait(browser, lambda b: "kept" in text(b))
        links = browser.find_elements(By.CSS_SELECTOR, f"a[href$='/studies/{shown.study_id}']")
        links[0].click()
        wait(browser, lambda b: "History" in text(b) and "learning_rate" in text(b))
        wait(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".js-plotly-plot svg"))
        browser.get(f"{server.url}dashboard/studies/{shown.study_id}/trials?numbers=0")
        wait(browser, lambda b: "learning_rate 0.25" in text(b) and "page.html" in text(b))
        find = "return [...document.images].filter(i => i.src.endsWith(arguments[0]))"
        width = f"{find}.map(i => i.complete ? [i.naturalWidth, i.naturalHeight] : null)[0]"
        assert wait(browser, lambda b: b.execute_script(width, shown.png)) == [37, 23]


def test_long_attributes_and_legends_leave_the_pages_in_shape(
    browser: webdriver.Chrome, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    study = run(job, n_trials=3)
    best, study_id = study.best_trial(), study.storage.get_study_id_from_name("tiny")
    folder = artifact_folder(job.storage_url)
    with serving(Shown(study.storage, folder)) as server:
        browser.get(f"{server.url}dashboard/studies/{study_id}/trials?numbers={best.number}")
        wait(browser, lambda b: "configuration" in text(b) and "predicted" in text(b))
        wide = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(wide) <= 0
        browser.get(f"{server.url}dashboard/studies/{study_id}")
        wait(browser, lambda b: "held-out data" in text(b))
        # The plot with two names and its axis: where each begins and ends.
        find = """return [...document.querySelectorAll('.js-plotly-plot')]
            .filter(p => p.textContent.includes('each fold'))
            .map(p => ['.legend', '.xtitle', '.bglayer'].map(c => {
                const r = p.querySelector(c)?.getBoundingClientRect();
                return r && r.height ? [r.top, r.bottom] : null;
            }))[0]"""

        def places(b: webdriver.Chrome) -> Any:
            found = b.execute_script(find)
            return found if found and found[0] and found[1] else None

        legend, title, _ = wait(browser, places)
        assert legend[1] < title[0]
        assert title[0] - legend[0] > 100  # the plot is between them


def test_the_page_deletes_with_write_alone(browser: webdriver.Chrome, shown: Shown) -> None:
    path = f"/api/studies/{shown.study_id}"
    with serving(shown) as server:
        browser.get(server.url)
        wait(browser, lambda b: "kept" in text(b))
        status, content = delete(browser, path)
        assert status == 403
        assert "--write" in content
    assert shown.study_names() == ["kept"]
    with serving(shown, write=True) as server:
        browser.get(server.url)
        wait(browser, lambda b: "kept" in text(b))
        assert delete(browser, path)[0] == 204
        browser.refresh()
        wait(browser, lambda b: "RELOAD" in text(b).upper() and "kept" not in text(b))
    assert shown.study_names() == []


def test_a_form_of_another_site_is_refused(browser: webdriver.Chrome, shown: Shown) -> None:
    with serving(shown, write=True) as server:
        form = f"<form method=post action={server.url}api/studies><button>Win</button></form>"
        browser.get(f"data:text/html,{quote(form)}")
        browser.find_element(By.TAG_NAME, "button").click()
        wait(browser, lambda b: "another site" in text(b))


def test_a_name_that_was_pointed_here_is_refused(browser: webdriver.Chrome, shown: Shown) -> None:
    with serving(shown) as server:
        browser.get(f"http://evil.example:{server.port}/api/studies")
        wait(browser, lambda b: "host name" in text(b))
        assert "kept" not in text(browser)
    with serving(shown, allowed_hosts=["evil.example"]) as server:
        browser.get(f"http://evil.example:{server.port}/api/studies")
        wait(browser, lambda b: "kept" in text(b))


def test_without_the_password_nothing_is_shown(browser: webdriver.Chrome, shown: Shown) -> None:
    with serving(shown, password="geheim") as server:
        browser.get(server.url)
        # A browser without a head shows nothing where others ask for the password.
        status = "return performance.getEntriesByType('navigation')[0].responseStatus"
        wait(browser, lambda b: b.execute_script(status) == 401)
        assert "kept" not in text(browser)
        browser.get(server.url.replace("//", "//anyone:geheim@"))
        wait(browser, lambda b: "kept" in text(b))


def test_the_script_of_an_artifact_does_not_run(browser: webdriver.Chrome, shown: Shown) -> None:
    with serving(shown) as server:
        # This spelling of the path is shown; with the usual one the browser saves the page.
        browser.get(f"{server.url}%ff{shown.place}/{shown.html}")
        wait(browser, lambda b: "harmless" in text(b))
        assert browser.title != "ran"
