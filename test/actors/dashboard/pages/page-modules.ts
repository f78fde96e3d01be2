/** The pages' own modules, as the browser loads them; those without a document run here too. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageFolder } from '../../../../infra/package-folder.js';

export const pagesFolder = path.join(packageFolder, 'actors/dashboard/pages');

/** @param name `zone.js` … */
export const loadPageModule = async <T>(name: string): Promise<T> =>
  (await import(pathToFileURL(path.join(pagesFolder, 'assets', name)).href)) as T;

export interface ZoneModule {
  offsetAt(at: number, zone: string): number;
  localOf(at: number, zone: string): number;
  instantOf(local: number, zone: string): number;
  dayStart(at: number, zone: string): number;
  nextDay(start: number, zone: string): number;
  previousDay(start: number, zone: string): number;
  clock(at: number, zone: string, to?: 'minute' | 'second' | 'ms'): string;
  date(at: number, zone: string, now?: number): string;
  offsetText(at: number, zone: string): string;
  toField(at: number, zone: string): string;
  fromField(text: string, zone: string): number | undefined;
  isZone(zone: string): boolean;
}

export interface RangeModule {
  presets: readonly { label: string; from: string; to: string }[];
  instantOfWord(word: string, now: number, zone: string): number | undefined;
  spanOf(range: { from: string; to: string }, now: number, zone: string): { from: number; to: number } | undefined;
  isMoving(range: { from: string; to: string }): boolean;
  iso(ms: number): string;
  resized(span: { from: number; to: number }, factor: number, shift?: number): { from: number; to: number };
}

export interface LinkState {
  from: string;
  to: string;
  zone: string;
  services: string[];
  zoom: { from: string; to: string } | undefined;
  sort: string;
  position: string | undefined;
  etag: string | undefined;
}

export interface LinkModule {
  readLink(search: string): LinkState;
  writeLink(state: LinkState): string;
}

export interface TicksModule {
  ticksOf(from: number, to: number, zone: string, countMax: number): number[];
  tickTexts(ticks: number[], zone: string): string[];
}

interface Columns {
  mean: number[];
  max: number[];
}

export interface AlignModule {
  timesOf(services: readonly { time: number[] }[], bucketSeconds: number): number[];
  alignedValues(services: readonly { time: number[]; cpu: Columns }[], metric: 'cpu', times: readonly number[]): (number | null)[][];
}

export interface EventsModule {
  eventParser(onEvent: (event: { event: string; text: string; id: string | undefined }) => void): (text: string) => void;
}
