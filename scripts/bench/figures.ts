/** One line of the table: a figure, as a ratio to what it is held against. */
import { columns } from '../table.js';

export interface Figure {
  /** The name after `npm run bench --`. */
  readonly line: string;
  readonly what: string;
  readonly measured: number;
  readonly unit: string;
  /** What it is a ratio to: a peer that ran in the same run, or the limit that is required. */
  readonly against: string;
  readonly againstMeasured: number;
  /** In terms of the ratio. */
  readonly required: number;
  readonly goal: number;
  /** `most`: the ratio must not pass what is required; `least`: it must reach it. */
  readonly is: 'most' | 'least';
  /** Whatever else was seen. */
  readonly more: Readonly<Record<string, string | number>>;
}

export const ratioOf = ({ measured, againstMeasured }: Figure): number => measured / againstMeasured;

export const outcomeOf = (figure: Figure): 'goal' | 'required' | 'MISSED' => {
  const reaches = (limit: number): boolean => (figure.is === 'most' ? ratioOf(figure) <= limit : ratioOf(figure) >= limit);
  return reaches(figure.goal) ? 'goal' : reaches(figure.required) ? 'required' : 'MISSED';
};

/** A figure against a limit of its own unit. */
export const againstLimit = (
  figure: Pick<Figure, 'line' | 'what' | 'measured' | 'unit' | 'is'> & {
    required: number;
    goal: number;
    more?: Figure['more'];
  },
): Figure => ({
  ...figure,
  against: `${figure.is === 'most' ? 'at most' : 'at least'} ${number(figure.required)} ${figure.unit}`,
  againstMeasured: figure.required,
  required: 1,
  goal: figure.goal / figure.required,
  more: figure.more ?? {},
});

export const number = (value: number): string =>
  value >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));

const sign = { most: '<=', least: '>=' } as const;

export const figuresTable = (figures: readonly Figure[]): string =>
  columns([
    ['line', 'what', 'measured', 'against', 'ratio', 'required', 'goal', 'outcome', 'also'],
    ...figures.map((figure) => [
      figure.line,
      figure.what,
      `${number(figure.measured)} ${figure.unit}`,
      figure.against,
      `${ratioOf(figure).toFixed(2)} x`,
      `${sign[figure.is]} ${number(figure.required)}`,
      `${sign[figure.is]} ${number(figure.goal)}`,
      outcomeOf(figure),
      Object.entries(figure.more)
        .map(([name, value]) => `${name} ${typeof value === 'number' ? number(value) : value}`)
        .join(', '),
    ]),
  ]);
