/** Which rows of the view became others since they were published last: by service, for view.updated. */
import { minuteMs } from '../../protocol/minute-row.js';

export class Changes {
  #services = new Map<string, Set<number>>();

  /** @param minute ms */
  add(service: string, minute: number): void {
    let minutes = this.#services.get(service);
    if (minutes === undefined) {
      minutes = new Set();
      this.#services.set(service, minutes);
    }
    minutes.add(minute / minuteMs);
  }

  get isEmpty(): boolean {
    return this.#services.size === 0;
  }

  has(service: string): boolean {
    return this.#services.has(service);
  }

  /** Takes everything out: service to its minutes, ms, in order. */
  take(): Map<string, number[]> {
    const taken = new Map<string, number[]>();
    for (const [service, minutes] of this.#services) {
      taken.set(
        service,
        [...minutes].sort((a, b) => a - b).map((minute) => minute * minuteMs),
      );
    }
    this.#services = new Map();
    return taken;
  }
}
