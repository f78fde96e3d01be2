/** reading.rejected.<p>: a refused line, byte for byte, as the body; these are its headers. Its id is sequence, receipt time and line (B12). */
export const rejectedHeaders = {
  /** The published subject. */
  subject: 'Tidemark-Subject',
  reason: 'Tidemark-Reason',
  /** Line in the message, from 0. */
  line: 'Tidemark-Line',
  received: 'Tidemark-Received',
} as const;
