/**
 * Aligns cells that are ended by tabs, by the rules of Go's text/tabwriter: a column is a block of neighbouring lines that
 * all have a cell there; what stands behind a line's last tab belongs to no column.
 */
export interface TabLayout {
  minWidth: number;
  padding: number;
}

const width = (text: string): number => [...text].length;

export function alignTabs(text: string, layout: TabLayout): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths: number[][] = lines.map(() => []);
  alignColumn({ lines, widths, layout }, { from: 0, to: lines.length, column: 0 });
  return lines.map((cells, index) => cells.map((cell, column) => (column === cells.length - 1 ? cell : cell + " ".repeat(Math.max(0, (widths[index]?.[column] ?? 0) - width(cell))))).join("")).join("\n");
}

interface Grid {
  lines: string[][];
  widths: number[][];
  layout: TabLayout;
}

function alignColumn(grid: Grid, block: { from: number; to: number; column: number }): void {
  const { column } = block;
  const hasCell = (index: number): boolean => column < (grid.lines[index]?.length ?? 0) - 1;
  for (let index = block.from; index < block.to; index++) {
    if (!hasCell(index)) continue;
    let end = index;
    while (end < block.to && hasCell(end)) end++;
    const widest = Math.max(...grid.lines.slice(index, end).map((cells) => width(cells[column] ?? "")));
    const columnWidth = Math.max(grid.layout.minWidth, widest + grid.layout.padding);
    for (let line = index; line < end; line++) (grid.widths[line] as number[])[column] = columnWidth;
    alignColumn(grid, { from: index, to: end, column: column + 1 });
    index = end - 1;
  }
}
