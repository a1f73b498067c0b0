/* What the theme leaves out for those who use a keyboard or a screen reader. */

/* What is wider than its place is scrolled with the keyboard once it can have the focus. */
function makeScrollable() {
  for (const each of document.querySelectorAll("pre, .table-wrapper, p:has(> img)")) {
    if (each.scrollWidth > each.clientWidth) {
      each.tabIndex = 0;
    } else {
      each.removeAttribute("tabindex");
    }
  }
}
addEventListener("load", makeScrollable);
addEventListener("resize", makeScrollable);

addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll('[role="heading"]:not([aria-level])')) {
    each.setAttribute("aria-level", "2");
  }
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
});
