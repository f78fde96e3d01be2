/** What verify found: every difference is counted, the first ones of each check are kept with what and where. */
export interface Finding {
  /** Which check: bytes, lines, offsets, commits, segments, chains, files, rows, sum, latest. */
  readonly check: string;
  readonly where: string;
  readonly what: string;
}

/** Of each check: one torn file must not hide what the others found. */
const keptMax = 5;

const shown = (value: number | string): string => String(value).replace(/^([0-9a-f]{12})[0-9a-f]{52}$/, '$1…');

export class Findings {
  differences = 0;
  readonly first: Finding[] = [];

  add(check: string, where: string, what: string): void {
    this.differences += 1;
    this.#keep({ check, where, what });
  }

  /** Notes it unless the two are equal. */
  expect(check: string, where: string, name: string, found: number | string, named: number | string): void {
    if (found !== named) this.add(check, where, `${name} is ${shown(found)}, must be ${shown(named)}`);
  }

  addAll(others: Findings): void {
    this.differences += others.differences;
    for (const finding of others.first) this.#keep(finding);
  }

  #keep(finding: Finding): void {
    if (this.first.filter(({ check }) => check === finding.check).length < keptMax) this.first.push(finding);
  }
}
