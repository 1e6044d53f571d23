"use strict";
// The filter by words. All else on this page works without it.
(() => {
  const box = document.getElementById("filter-words");
  if (!box) return;
  const rows = [...document.querySelectorAll("#findings tbody tr, #domains tbody tr")];
  const words = rows.map((r) => r.textContent.toLowerCase());
  const told = document.getElementById("filter-told");
  const lists = [...document.querySelectorAll("#domains details")];
  let next = 0;
  const apply = () => {
    const want = box.value.trim().toLowerCase();
    let n = 0;
    rows.forEach((r, i) => {
      const hit = words[i].includes(want);
      if (r.hidden === hit) r.hidden = !hit;
      if (hit) n++;
    });
    for (const d of lists) {
      const hits = d.querySelectorAll("tbody tr:not([hidden])").length;
      d.hidden = hits === 0;
      if (want && hits && hits <= 200) d.open = true;
    }
    told.textContent = want ? `${n} of ${rows.length} rows` : "";
  };
  box.addEventListener("input", () => {
    clearTimeout(next);
    next = setTimeout(apply, 120);
  });
  document.getElementById("filter-by-words").hidden = false;
  if (box.value) apply();
})();
