package io.akin;

import com.google.protobuf.MessageLite;
import io.grpc.Context;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * Reads the resources of an import in batches. It has a thread of its own, because an iterator can
 * block while the server ends the import.
 *
 * @param <E> the type of the resources
 */
final class BatchReader<E extends MessageLite> {
  /** Small enough to show progress, and large enough for a shared commit. */
  static final int MAX_BATCH_LENGTH = 256;

  /** Servers reject messages of more than 16 MiB. */
  static final int MAX_BATCH_BYTES = 4 << 20;

  /** The end of an import waits this long for an iterator that is reading. */
  private static final long STOP_MILLIS = 500;

  private final Iterator<E> resources;
  private final Object monitor;
  private final Thread thread;
  private E next;
  private List<E> batch;
  private RuntimeException exception;
  private Error error;
  private volatile boolean stopped;

  /**
   * @param resources the resources
   * @param monitor notified when a batch is ready, or when the iterator has thrown
   */
  BatchReader(Iterator<E> resources, Object monitor) {
    this.resources = resources;
    this.monitor = monitor;
    thread = new Thread(Context.current().wrap(this::read), "akin-import");
    thread.setDaemon(true);
  }

  void start() {
    thread.start();
  }

  /** Returns true if {@link #take} has a result. The caller holds the monitor. */
  boolean isReady() {
    return batch != null || exception != null || error != null;
  }

  /**
   * Returns the batch that is ready. An empty one is the last one.
   *
   * @throws RuntimeException the exception of the iterator
   */
  List<E> take() {
    synchronized (monitor) {
      if (error != null) {
        throw error;
      }
      if (exception != null) {
        throw exception;
      }
      List<E> taken = batch;
      batch = null;
      monitor.notifyAll();
      return taken;
    }
  }

  /** Ends the thread. One whose iterator ignores the interrupt ends when the iterator returns. */
  void stop() {
    stopped = true;
    thread.interrupt();
    boolean interrupted = Thread.interrupted();
    try {
      thread.join(STOP_MILLIS);
    } catch (InterruptedException e) {
      interrupted = true;
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void read() {
    try {
      boolean isLast = false;
      while (!stopped && !isLast) {
        List<E> read = nextBatch();
        isLast = read.isEmpty();
        put(read);
      }
    } catch (InterruptedException e) {
      // The import has ended.
    } catch (RuntimeException e) {
      synchronized (monitor) {
        exception = e;
        monitor.notifyAll();
      }
    } catch (Error e) {
      synchronized (monitor) {
        error = e;
        monitor.notifyAll();
      }
    }
  }

  private void put(List<E> read) throws InterruptedException {
    synchronized (monitor) {
      while (batch != null && !stopped) {
        monitor.wait();
      }
      batch = read;
      monitor.notifyAll();
    }
  }

  /** A resource larger than MAX_BATCH_BYTES is a batch of its own. */
  private List<E> nextBatch() {
    List<E> read = new ArrayList<>();
    int bytes = 0;
    while (!stopped && read.size() < MAX_BATCH_LENGTH && (next != null || resources.hasNext())) {
      E resource = next != null ? next : resources.next();
      int size = resource.getSerializedSize();
      if (!read.isEmpty() && bytes + size > MAX_BATCH_BYTES) {
        next = resource;
        break;
      }
      next = null;
      bytes += size;
      read.add(resource);
    }
    return read;
  }
}
