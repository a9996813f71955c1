// SPDX-License-Identifier: Apache-2.0
// Processing elements eight MACs wide, for an independent look at what StruM saves: the plain INT8
// PE, static and dynamic StruM PEs with shifters (MIP2Q), a static one with 4x8-bit multipliers
// (DLIQ). All have registered operands and a 32-bit accumulator, and take the operands of a block in
// the order of its lanes: which activation meets which weight is decided before, by the bitmap logic
// that a sparse accelerator has anyway. tools/strum_pe/README.md says what is left out.

// x · 2^k in one's complement where `sign` is set: the adder tree adds the ones that are missing.
module strum_shifter #(parameter L = 7) (
    input signed [7:0] x, input sign, input [2:0] k, output signed [15:0] y);
  wire signed [15:0] wide = x;
  wire signed [15:0] by_1 = k[0] ? wide <<< 1 : wide;
  wire signed [15:0] by_2 = k[1] ? by_1 <<< 2 : by_1;
  // With L = 5 codes above 5 do not occur, so that four and two need not add up.
  wire signed [15:0] by_4 = k[2] ? (L == 5 ? by_1 : by_2) <<< 4 : by_2;
  assign y = by_4 ^ {16{sign}};
endmodule

module pe_int8 (input clk, input clear, input [63:0] w, input [63:0] x, output reg [31:0] acc);
  reg [63:0] w_r, x_r;
  reg clear_r;
  reg signed [31:0] sum;
  integer i;
  always @* begin
    sum = 0;
    for (i = 0; i < 8; i = i + 1)
      sum = sum + $signed(w_r[8*i +: 8]) * $signed(x_r[8*i +: 8]);
  end
  always @(posedge clk) begin
    w_r <= w;
    x_r <= x;
    clear_r <= clear;
    acc <= (clear_r ? 32'd0 : acc) + sum;
  end
endmodule

// Lanes 0 to 3 multiply, lanes 4 to 7 shift: w has 4 x 8 bits of high weights, then 4 x 4 of codes.
module pe_static #(parameter L = 7) (
    input clk, input clear, input [47:0] w, input [63:0] x, output reg [31:0] acc);
  reg [47:0] w_r;
  reg [63:0] x_r;
  reg clear_r;
  wire [63:0] shifted;
  genvar g;
  generate
    for (g = 0; g < 4; g = g + 1) begin : lane
      strum_shifter #(.L(L)) shifter (
          .x(x_r[32 + 8*g +: 8]), .sign(w_r[32 + 4*g + 3]), .k(w_r[32 + 4*g +: 3]),
          .y(shifted[16*g +: 16]));
    end
  endgenerate
  reg signed [31:0] sum;
  integer i;
  always @* begin
    sum = 0;
    for (i = 0; i < 4; i = i + 1)
      sum = sum + $signed(w_r[8*i +: 8]) * $signed(x_r[8*i +: 8]) +
            $signed(shifted[16*i +: 16]) + $signed({1'b0, w_r[32 + 4*i + 3]});
  end
  always @(posedge clk) begin
    w_r <= w;
    x_r <= x;
    clear_r <= clear;
    acc <= (clear_r ? 32'd0 : acc) + sum;
  end
endmodule

// Eight multipliers, and shifters beside lanes 4 to 7. With `strum` these lanes shift, by the low
// four bits of their weight, and their multipliers see zeros; without it the shifters do.
module pe_dynamic #(parameter L = 7) (
    input clk, input clear, input strum, input [63:0] w, input [63:0] x, output reg [31:0] acc);
  reg [63:0] w_r, x_r;
  reg clear_r, strum_r;
  wire [63:0] shifted;
  genvar g;
  generate
    for (g = 0; g < 4; g = g + 1) begin : lane
      strum_shifter #(.L(L)) shifter (
          .x(x_r[32 + 8*g +: 8] & {8{strum_r}}), .sign(w_r[32 + 8*g + 3] & strum_r),
          .k(w_r[32 + 8*g +: 3] & {3{strum_r}}), .y(shifted[16*g +: 16]));
    end
  endgenerate
  reg signed [31:0] sum;
  integer i;
  always @* begin
    sum = 0;
    for (i = 0; i < 4; i = i + 1)
      sum = sum + $signed(w_r[8*i +: 8]) * $signed(x_r[8*i +: 8]) +
            $signed(w_r[32 + 8*i +: 8] & {8{~strum_r}}) *
                $signed(x_r[32 + 8*i +: 8] & {8{~strum_r}}) +
            $signed(shifted[16*i +: 16]) + $signed({1'b0, w_r[32 + 8*i + 3] & strum_r});
  end
  always @(posedge clk) begin
    w_r <= w;
    x_r <= x;
    clear_r <= clear;
    strum_r <= strum;
    acc <= (clear_r ? 32'd0 : acc) + sum;
  end
endmodule

// Lanes 4 to 7 multiply by codes of four bits; their sum is shifted by the layer's grid, 0 to 4.
module pe_dliq (
    input clk, input clear, input [2:0] grid, input [47:0] w, input [63:0] x,
    output reg [31:0] acc);
  reg [47:0] w_r;
  reg [63:0] x_r;
  reg [2:0] grid_r;
  reg clear_r;
  reg signed [31:0] sum;
  reg signed [13:0] low;
  integer i;
  always @* begin
    sum = 0;
    low = 0;
    for (i = 0; i < 4; i = i + 1) begin
      sum = sum + $signed(w_r[8*i +: 8]) * $signed(x_r[8*i +: 8]);
      low = low + $signed(w_r[32 + 4*i +: 4]) * $signed(x_r[32 + 8*i +: 8]);
    end
    // Shifts above 4 do not occur.
    sum = sum + (grid_r[2] ? $signed({low, 4'd0})
                           : grid_r[1] ? (grid_r[0] ? $signed({low, 3'd0}) : $signed({low, 2'd0}))
                                       : (grid_r[0] ? $signed({low, 1'd0}) : low));
  end
  always @(posedge clk) begin
    w_r <= w;
    x_r <= x;
    grid_r <= grid;
    clear_r <= clear;
    acc <= (clear_r ? 32'd0 : acc) + sum;
  end
endmodule
