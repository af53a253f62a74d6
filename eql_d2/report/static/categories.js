const data = JSON.parse(document.getElementById("categories-data").textContent);
const formats = {
  count: {},
  number: { maximumSignificantDigits: 3, notation: "compact" },
  score: { minimumFractionDigits: 1, maximumFractionDigits: 1 },
  change: { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" },
};
const shown = (kind) => {
  const format = new Intl.NumberFormat("en", formats[kind]);
  const unknown = kind === "score" ? '<span class="untested">not tested</span>' : "–";
  return (value, type) => (type !== "display" ? value : value === null ? unknown : format.format(value));
};
// What is not known comes last, whichever way a column is sorted.
const unknownLast = (sign) => (a, b) => (a === null) - (b === null) || sign * (a - b);
DataTable.type("known", { order: { asc: unknownLast(1), desc: unknownLast(-1) } });
const table = new DataTable("#categories", {
  data: data.rows,
  columns: data.kinds.map((kind) =>
    kind === "text"
      ? { type: "string", render: DataTable.render.text() }
      : { type: "known", searchable: false, className: "number", render: shown(kind) },
  ),
  order: [],
  autoWidth: false,
  pageLength: 50,
  lengthMenu: [25, 50, 200, 1000, { label: "all", value: -1 }],
  layout: { topStart: "search", topEnd: "pageLength" },
  language: {
    entries: { _: "categories", 1: "category" },
    search: "Filter by name or group: ", lengthMenu: "Rows: _MENU_" },
});
// On paper there are no further pages to turn to.
addEventListener("beforeprint", () => {
  const length = table.page.len();
  table.page.len(-1).draw();
  addEventListener("afterprint", () => table.page.len(length).draw(), { once: true });
});
