/**
 * Rows for charts: minutes summed into as few buckets as there are points, so that no peak is lost. Buckets begin at
 * multiples of their length since midnight of the zone; one without a message is not there.
 */
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import type { Terms } from '../../protocol/messages/view.js';
import { emptyRow, type MinuteRow, mergeInto, minuteMs } from '../../protocol/minute-row.js';
import { formatInstant } from '../../protocol/time.js';
import { toPercent } from '../../protocol/units.js';
import { stepStart } from '../../protocol/zone.js';
import type { ViewQuestion } from './parameters.js';
import type { Asks } from './view-reader.js';

export interface SeriesColumns {
  mean: number[];
  /** Lowest mean of a minute (of an hour, where `grain` says so). */
  min: number[];
  max: number[];
  /** Of the maximum; of equals the earliest. */
  maxTime: string[];
}

export interface ServiceSeries {
  service: string;
  /** Beginnings of the buckets, seconds since 1970. */
  time: number[];
  msg_num: number[];
  cpu: SeriesColumns;
  ram: SeriesColumns;
  disk: SeriesColumns;
}

export interface Series {
  readonly bucketMinutes: number;
  readonly grain: 'minute' | 'hour';
  readonly services: readonly ServiceSeries[];
  readonly terms: Terms;
}

const lengths = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1_440, 2_880, 10_080, 43_200, 525_600];
/** A longer range is read by hours: the lowest mean is then one of an hour. */
const minutesMax = 92 * 1_440;

/** The shortest bucket with which a range fits into so many points. */
export const bucketMinutesOf = (from: number, to: number, points: number): number => {
  const minutes = Math.ceil((to - from) / minuteMs);
  return lengths.find((length) => minutes / length <= points) ?? (lengths.at(-1) as number);
};

const emptyColumns = (): SeriesColumns => ({ mean: [], min: [], max: [], maxTime: [] });

const emptySeries = (service: string): ServiceSeries => ({
  service,
  time: [],
  msg_num: [],
  cpu: emptyColumns(),
  ram: emptyColumns(),
  disk: emptyColumns(),
});

/** Where a minute's bucket begins, ms. Minutes come in order: the day is looked up when it changes. */
const bucketStarts = (bucketMinutes: number, zone: string): ((minute: number) => number) => {
  const bucketMs = bucketMinutes * minuteMs;
  if (bucketMinutes === 1) return (minute) => minute;
  let dayStart = Number.NaN;
  let dayEnd = Number.NEGATIVE_INFINITY;
  const dayMs = 86_400_000;
  return (minute) => {
    if (!(minute >= dayStart && minute < dayEnd)) {
      dayStart = stepStart(minute, 'day', zone);
      dayEnd = stepStart(dayStart + 1.25 * dayMs, 'day', zone); // 23, 24 or 25 hours on
    }
    if (bucketMs < dayMs) return dayStart + Math.floor((minute - dayStart) / bucketMs) * bucketMs;
    const days = bucketMs / dayMs;
    const day = Math.floor((dayStart + dayMs / 2 - 1) / dayMs);
    return days === 1 ? dayStart : stepStart((day - (day % days)) * dayMs + dayMs / 2, 'day', zone);
  };
};

class Bucket {
  start = Number.NaN;
  sum: MinuteRow = emptyRow();
  cpuMin = Number.POSITIVE_INFINITY;
  ramMin = Number.POSITIVE_INFINITY;
  diskMin = Number.POSITIVE_INFINITY;

  begin(start: number): void {
    this.start = start;
    this.sum = emptyRow();
    this.cpuMin = this.ramMin = this.diskMin = Number.POSITIVE_INFINITY;
  }

  add(row: MinuteRow): void {
    mergeInto(this.sum, row);
    this.cpuMin = Math.min(this.cpuMin, toPercent(row.cpu) / row.messages);
    this.ramMin = Math.min(this.ramMin, toPercent(row.ram) / row.messages);
    this.diskMin = Math.min(this.diskMin, toPercent(row.disk) / row.messages);
  }

  writeTo(series: ServiceSeries): void {
    const { sum } = this;
    if (sum.messages === 0) return;
    series.time.push(this.start / 1_000);
    series.msg_num.push(sum.messages);
    const put = (columns: SeriesColumns, mean: number, min: number, max: number, at: number): void => {
      columns.mean.push(mean);
      columns.min.push(min);
      columns.max.push(max);
      columns.maxTime.push(formatInstant(at));
    };
    put(series.cpu, toPercent(sum.cpu) / sum.messages, this.cpuMin, toPercent(sum.maxCpu), sum.maxCpuAt);
    put(series.ram, toPercent(sum.ram) / sum.messages, this.ramMin, toPercent(sum.maxRam), sum.maxRamAt);
    put(series.disk, toPercent(sum.disk) / sum.messages, this.diskMin, toPercent(sum.maxDisk), sum.maxDiskAt);
  }
}

/** @throws what the reader throws */
export const readSeries = async (reader: Asks, question: ViewQuestion, zone: string, points: number): Promise<Series> => {
  const bucketMinutes = bucketMinutesOf(question.from, question.to, points);
  const grain = (question.to - question.from) / minuteMs > minutesMax && bucketMinutes >= 60 ? 'hour' : 'minute';
  const startOf = bucketStarts(bucketMinutes, zone);
  const services = new Map((question.services ?? []).map((service) => [service, emptySeries(service)]));
  const bucket = new Bucket();
  let series = emptySeries('');
  let isBegun = false;
  const end = (): void => {
    bucket.writeTo(series);
    bucket.begin(Number.NaN);
  };
  const terms = await reader.ask(
    { ...question, step: grain, zone },
    (chunk) =>
      eachBlockRow(chunk, (service, minute, row) => {
        if (!isBegun || service !== series.service) {
          end();
          isBegun = true;
          series = services.get(service) ?? emptySeries(service);
          services.set(service, series);
        }
        const start = startOf(minute);
        if (start !== bucket.start) {
          end();
          bucket.begin(start);
        }
        bucket.add(row);
      }).terms,
  );
  end();
  return { bucketMinutes, grain, services: [...services.values()].sort((a, b) => (a.service < b.service ? -1 : 1)), terms };
};
