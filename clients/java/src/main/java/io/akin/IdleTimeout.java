package io.akin;

import com.google.protobuf.Empty;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Ends a stream whose server has become silent: it sends no message for half of the timeout, and
 * then does not answer a health check in the other half.
 *
 * <p>A server can need minutes for a message, for example while its embedding provider limits the
 * rate. Therefore, a silent server is asked for its health before the stream ends.
 */
final class IdleTimeout implements ClientInterceptor {
  /** The health check of gRPC. Its response is not read. */
  private static final MethodDescriptor<Empty, Empty> HEALTH_CHECK =
      MethodDescriptor.<Empty, Empty>newBuilder()
          .setType(MethodType.UNARY)
          .setFullMethodName("grpc.health.v1.Health/Check")
          .setRequestMarshaller(ProtoUtils.marshaller(Empty.getDefaultInstance()))
          .setResponseMarshaller(ProtoUtils.marshaller(Empty.getDefaultInstance()))
          .build();

  private final String address;
  private final Duration timeout;
  private final ScheduledExecutorService timer;

  IdleTimeout(String address, Duration timeout, ScheduledExecutorService timer) {
    this.address = address;
    this.timeout = timeout;
    this.timer = timer;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    ClientCall<Q, R> call = next.newCall(method, options);
    return method.getType() == MethodType.UNARY ? call : new WatchedCall<>(call, next);
  }

  private final class WatchedCall<Q, R> extends SimpleForwardingClientCall<Q, R> {
    private final Channel channel;
    private final long halfNanos = timeout.toNanos() / 2;
    private volatile long lastMessageNanos;
    private volatile boolean silent;
    private Future<?> check;
    private boolean closed;

    WatchedCall(ClientCall<Q, R> call, Channel channel) {
      super(call);
      this.channel = channel;
    }

    @Override
    public void start(Listener<R> listener, Metadata headers) {
      restart();
      schedule();
      super.start(new WatchedListener(listener), headers);
    }

    private void restart() {
      lastMessageNanos = System.nanoTime();
    }

    private synchronized void schedule() {
      if (!closed) {
        long nanos = lastMessageNanos + halfNanos - System.nanoTime();
        check = timer.schedule(this::checkHealth, nanos, TimeUnit.NANOSECONDS);
      }
    }

    private synchronized void stop() {
      closed = true;
      check.cancel(false);
    }

    private void checkHealth() {
      long last = lastMessageNanos;
      if (System.nanoTime() - last < halfNanos) {
        schedule();
        return;
      }
      CallOptions options =
          CallOptions.DEFAULT.withDeadlineAfter(halfNanos, TimeUnit.NANOSECONDS);
      ClientCalls.asyncUnaryCall(
          channel.newCall(HEALTH_CHECK, options),
          Empty.getDefaultInstance(),
          new HealthObserver(last));
    }

    private void finishCheck(Status status, long last) {
      // Each other answer counts, even an error.
      if (status.getCode() != Status.Code.DEADLINE_EXCEEDED) {
        restart();
      } else if (last == lastMessageNanos) {
        silent = true;
        cancel("the server is silent", null);
        return;
      }
      schedule();
    }

    private final class HealthObserver implements StreamObserver<Empty> {
      private final long last;

      HealthObserver(long last) {
        this.last = last;
      }

      @Override
      public void onNext(Empty response) {}

      @Override
      public void onError(Throwable error) {
        finishCheck(Status.fromThrowable(error), last);
      }

      @Override
      public void onCompleted() {
        finishCheck(Status.OK, last);
      }
    }

    private final class WatchedListener extends SimpleForwardingClientCallListener<R> {
      WatchedListener(Listener<R> listener) {
        super(listener);
      }

      @Override
      public void onMessage(R message) {
        restart();
        super.onMessage(message);
      }

      @Override
      public void onClose(Status status, Metadata trailers) {
        stop();
        super.onClose(silent ? explain() : status, trailers);
      }

      private Status explain() {
        String seconds =
            BigDecimal.valueOf(timeout.toMillis(), 3).stripTrailingZeros().toPlainString();
        return Status.UNAVAILABLE.withDescription(
            "the server at " + address + " has not responded for " + seconds + " seconds");
      }
    }
  }
}
