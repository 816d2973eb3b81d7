package io.akin;

import io.akin.v1.AnalysisServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Gives every call the API key, and a deadline to those that have none and shall end. */
final class CallDefaults implements ClientInterceptor {
  /** For what goes through a whole catalog. */
  static final Duration ANALYSIS_TIMEOUT = Duration.ofMinutes(10);

  private static final Set<String> ANALYSES =
      Set.of(
          AnalysisServiceGrpc.getFindDuplicatesMethod().getFullMethodName(),
          AnalysisServiceGrpc.getFindOutliersMethod().getFullMethodName(),
          AnalysisServiceGrpc.getClusterItemsMethod().getFullMethodName());

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Duration timeout;
  private final String apiKey;

  CallDefaults(Duration timeout, String apiKey) {
    this.timeout = timeout;
    this.apiKey = apiKey;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    boolean analysis = ANALYSES.contains(method.getFullMethodName());
    Duration limit = analysis ? ANALYSIS_TIMEOUT : timeout;
    boolean unlimited =
        (analysis || method.getType() == MethodType.UNARY) && options.getDeadline() == null;
    ClientCall<Q, R> call =
        next.newCall(
            method,
            unlimited
                ? options.withDeadlineAfter(limit.toNanos(), TimeUnit.NANOSECONDS)
                : options);
    return apiKey.isEmpty() ? call : new WithKey<>(call);
  }

  private final class WithKey<Q, R> extends SimpleForwardingClientCall<Q, R> {
    WithKey(ClientCall<Q, R> call) {
      super(call);
    }

    @Override
    public void start(Listener<R> listener, Metadata headers) {
      headers.put(AUTHORIZATION, "Bearer " + apiKey);
      super.start(listener, headers);
    }
  }
}
