18449 /usr/lib/erlang/erts-13.1.5/bin/beam.smp_-W_w_-MBas_ageffcbf 4.38303e+09
18529 /work/main/target/dist/warren_users_--with-parent 42470193
18531 /work/main/target/dist/warren_orders_--with-parent 8.49803e+09
18532 /work/main/target/dist/warren_gateway_--with-parent 8.14676e+09
